"""`msgctl db`: the tables in PostgreSQL."""

import asyncio

import typer

from msgctl.agents import migrate as migrate_agents
from msgctl.cli._context import context_of
from msgctl.cli._noun import noun
from msgctl.cli._output import RecordOutput, RecordShape, note, print_json, print_text

app = noun("The tables in PostgreSQL.")


@app.command(epilog="Example: msgctl db migrate")
def migrate(context: typer.Context, output: RecordOutput = RecordShape.TABLE) -> None:
    """Bring the tables to this version of msgctl; safe to repeat."""
    applied = asyncio.run(migrate_agents(context_of(context).load()))
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.migration/1", "applied": applied})
        return
    for name in applied:
        print_text(name)
    note("migrated" if applied else "up to date")
