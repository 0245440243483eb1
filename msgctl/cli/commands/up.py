"""`msgctl up`: the whole pipeline of this machine in the foreground, under one supervisor."""

from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.output import RecordFormat, RecordOutputOption, print_json, print_note
from msgctl.local import signals, terminal
from msgctl.local.signals import Interrupts
from msgctl.local.supervisor.local_pipeline import LocalPipeline
from msgctl.local.supervisor.options import UpOptions

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
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Run the whole pipeline of this machine in the foreground, until Ctrl-C or SIGTERM.

    When all is ready it says where; `-o json` says it in one line on standard output, for scripts. The lines of
    the daemons go to standard error.
    """
    options = UpOptions(
        data_dir=data_dir,
        config_path=global_options_of(context).config_path,
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
        print_note(f"Starting Valkey, PostgreSQL,{standing_in} worker, subscriber and gateway.")

    async def main(interruption: Interrupts) -> None:
        async with LocalPipeline(options, terminal.PrefixedWriter()) as pipeline:
            interruption.on_repeat = pipeline.supervisor.terminate_all
            _print_running(pipeline, output)
            await pipeline.watch()

    signals.run_interruptible(main)
    print_note(f"Stopped; data kept in {data_dir}." if embedded else "Stopped.")


def _print_running(pipeline: LocalPipeline, output: RecordFormat) -> None:
    running = pipeline.running
    if output is RecordFormat.JSON:
        places = {name: place for name, place in vars(running).items() if name != "settings"}
        pids = pipeline.supervisor.pids
        print_json({**places, "pids": {kind: pids.get(kind, []) for kind in DAEMONS}})
    else:
        terminal.print_summary(running, terminal.program_name())
