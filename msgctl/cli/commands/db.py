"""`msgctl db`: the tables in PostgreSQL."""

import asyncio

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_json,
    print_listing,
    print_note,
    print_text,
)
from msgctl.domain.errors import Incomplete
from msgctl.storage.postgres.migrations import migrate as migrate_tables
from msgctl.storage.postgres.migrations import read_status as migrations_status

app = make_noun_group("The tables in PostgreSQL.")


@app.command(epilog="Example: msgctl db migrate")
def migrate(context: typer.Context, output: RecordOutputOption = RecordFormat.TABLE) -> None:
    """Bring the tables to this version of msgctl; safe to repeat."""
    applied = asyncio.run(migrate_tables(global_options_of(context).load()))
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.migration/1", "applied": applied})
        return
    for name in applied:
        print_text(name)
    print_note("migrated" if applied else "up to date")


@app.command(epilog="Example: msgctl db status")
def status(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Each migration and whether it is applied; exit code 4 if one is missing."""
    settings = global_options_of(context).load()
    found = asyncio.run(migrations_status(settings))
    records = [{"name": name, "applied": applied} for name, applied in found.items()]
    columns = {"name": "migration", "applied": "applied"}
    print_listing(records, output, schema="msgctl.migration/1", columns=columns, key="name")
    if not all(found.values()):
        raise Incomplete("Tables are missing or old. Mend it: msgctl db migrate")
