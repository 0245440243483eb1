"""`msgctl up`: run the whole pipeline on this machine under one supervisor."""

from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.options import AcceptDataLossOption, RecordFormat, RecordOutputOption
from msgctl.cli.framework.output import print_json, print_note
from msgctl.local import signals, terminal
from msgctl.local.signals import Interrupts
from msgctl.local.supervisor.local_pipeline import LocalPipeline
from msgctl.local.supervisor.options import UpOptions

DAEMONS = ("worker", "subscriber", "gateway")


def up(
    context: typer.Context,
    *,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Also run Redis and PostgreSQL. Their data stay in --data-dir.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of config.toml, the logs, and the data.")
    ] = Path("var"),
    n8n_url: Annotated[
        str | None, typer.Option(metavar="URL", help="URL of n8n. Default with --embedded: a fake n8n.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the gateway. 0 takes a free one. Default: 3000.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Number of workers.")] = 1,
    subscribers: Annotated[int, typer.Option(min=0, max=64, help="Number of subscribers.")] = 1,
    gateways: Annotated[int, typer.Option(min=0, max=64, help="Number of gateways, which share the port.")] = 1,
    accept_data_loss: AcceptDataLossOption = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Run the whole pipeline on this machine in the foreground, until Ctrl-C or SIGTERM.

    When it is ready, it prints the addresses. `-o json` prints them as one line on standard output, for scripts.
    The logs of the daemons go to standard error.
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
        fake_n8n = "" if n8n_url else " a fake n8n,"
        print_note(f"Starting Valkey, PostgreSQL,{fake_n8n} a worker, a subscriber, and a gateway.")
        print_note('For a single tenant: every token may send through every channel ([auth] channels = "any").')

    async def main(interruption: Interrupts) -> None:
        async with LocalPipeline(options, terminal.PrefixedWriter()) as pipeline:
            interruption.on_repeat = pipeline.supervisor.terminate_all
            _print_running(pipeline, output)
            await pipeline.watch()

    signals.run_interruptible(main)
    print_note(f"Stopped. The data are kept in {data_dir}." if embedded else "Stopped.")


def _print_running(pipeline: LocalPipeline, output: RecordFormat) -> None:
    running = pipeline.running
    if output is RecordFormat.JSON:
        addresses = {name: value for name, value in vars(running).items() if name != "settings"}
        pids = pipeline.supervisor.pids
        print_json({**addresses, "pids": {kind: pids.get(kind, []) for kind in DAEMONS}})
    else:
        terminal.print_summary(running, terminal.program_name())
