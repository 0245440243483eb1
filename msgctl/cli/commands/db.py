"""`msgctl db`: migrate the PostgreSQL tables and show their status."""

import asyncio

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import OutputFormat, OutputOption, RecordFormat, RecordOutputOption
from msgctl.cli.framework.output import print_json, print_listing, print_note, print_text
from msgctl.domain.errors import Incomplete
from msgctl.storage.postgres.migrations import migrate as migrate_tables
from msgctl.storage.postgres.migrations import read_status as migrations_status

app = make_noun_group("Migrate the PostgreSQL tables and show their status.")


@app.command(epilog="Example: msgctl db migrate")
def migrate(context: typer.Context, output: RecordOutputOption = RecordFormat.TABLE) -> None:
    """Migrate the tables to this version of msgctl. It is safe to repeat."""
    applied = asyncio.run(migrate_tables(global_options_of(context).load()))
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.migration/1", "applied": applied})
        return
    for name in applied:
        print_text(name)
    print_note("migrated" if applied else "up to date")


@app.command(epilog="Example: msgctl db status")
def status(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the migrations and whether they are applied. Exit code 4 if one is missing."""
    settings = global_options_of(context).load()
    applied_by_name = asyncio.run(migrations_status(settings))
    records = [{"name": name, "applied": applied} for name, applied in applied_by_name.items()]
    columns = {"name": "migration", "applied": "applied"}
    print_listing(records, output, schema="msgctl.migration/1", columns=columns, key="name")
    if not all(applied_by_name.values()):
        raise Incomplete("Tables are missing or old. Fix it: msgctl db migrate")
