"""`msgctl up`: the whole pipeline of this machine in the foreground, under one supervisor."""

from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli._context import context_of
from msgctl.cli._output import RecordOutput, RecordShape, note, print_json
from msgctl.stack import console, interrupts
from msgctl.stack.interrupts import Interrupts
from msgctl.stack.options import Options
from msgctl.stack.up import Pipeline

DAEMONS = ("worker", "subscriber", "gateway")


def up(
    context: typer.Context,
    *,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Bring Redis and PostgreSQL, too; their data stay in the folder.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of config.toml, the logs and embedded servers' data.")
    ] = Path("var"),
    n8n_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The n8n to use. With --embedded, a stand-in unless given.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The gateway's port; 3000 at first, 0: a free one.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="How many workers.")] = 1,
    subscribers: Annotated[int, typer.Option(min=0, max=64, help="How many subscribers.")] = 1,
    gateways: Annotated[int, typer.Option(min=0, max=64, help="How many gateways; they share the port.")] = 1,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Start although Redis may forget messages.")
    ] = False,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Run the whole pipeline of this machine in the foreground, until Ctrl-C or SIGTERM.

    When all is ready it says where; `-o json` says it in one line on standard output, for scripts. The lines of
    the daemons go to standard error.
    """
    options = Options(
        data_dir=data_dir,
        config_path=context_of(context).config_path,
        embedded=embedded,
        n8n_url=n8n_url,
        port=port,
        workers=workers,
        subscribers=subscribers,
        gateways=gateways,
        accept_data_loss=accept_data_loss,
    )

    if embedded:
        standing_in = "" if n8n_url else " an n8n stand-in,"
        note(f"Starting Valkey, PostgreSQL,{standing_in} worker, subscriber and gateway.")

    async def main(interruption: Interrupts) -> None:
        async with Pipeline(options, console.Prefixed()) as pipeline:
            interruption.hurry = pipeline.supervisor.hurry
            _announce(pipeline, output)
            await pipeline.watch()

    interrupts.run(main)
    note(f"Stopped; data kept in {data_dir}." if embedded else "Stopped.")


def _announce(pipeline: Pipeline, output: RecordShape) -> None:
    running = pipeline.running
    if output is RecordShape.JSON:
        places = {name: place for name, place in vars(running).items() if name != "settings"}
        pids = pipeline.supervisor.pids
        print_json({**places, "pids": {kind: pids.get(kind, []) for kind in DAEMONS}})
    else:
        console.show(running, console.program())
