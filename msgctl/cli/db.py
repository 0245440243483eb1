"""`msgctl db`: the tables in PostgreSQL."""

import asyncio

import typer

from msgctl.cli._context import context_of
from msgctl.cli._noun import noun
from msgctl.cli._output import (
    Output,
    RecordOutput,
    RecordShape,
    Shape,
    note,
    print_json,
    print_listing,
    print_text,
)
from msgctl.errors import Incomplete
from msgctl.postgres.migrations import migrate as migrate_tables
from msgctl.postgres.migrations import status as migrations_status

app = noun("The tables in PostgreSQL.")


@app.command(epilog="Example: msgctl db migrate")
def migrate(context: typer.Context, output: RecordOutput = RecordShape.TABLE) -> None:
    """Bring the tables to this version of msgctl; safe to repeat."""
    applied = asyncio.run(migrate_tables(context_of(context).load()))
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.migration/1", "applied": applied})
        return
    for name in applied:
        print_text(name)
    note("migrated" if applied else "up to date")


@app.command(epilog="Example: msgctl db status")
def status(context: typer.Context, output: Output = Shape.TABLE) -> None:
    """Each migration and whether it is applied; exit code 4 if one is missing."""
    settings = context_of(context).load()
    found = asyncio.run(migrations_status(settings))
    records = [{"name": name, "applied": applied} for name, applied in found.items()]
    columns = {"name": "migration", "applied": "applied"}
    print_listing(records, output, schema="msgctl.migration/1", columns=columns, key="name")
    if not all(found.values()):
        raise Incomplete("Tables are missing or old. Mend it: msgctl db migrate")
