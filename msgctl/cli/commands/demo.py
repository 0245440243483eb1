"""`msgctl demo`: run the whole pipeline on this machine and send messages through it."""

from typing import Annotated

import typer
from rich.console import Console

from msgctl.cli.framework.exit import EXIT_INTERRUPTED
from msgctl.local import signals
from msgctl.local.demo.demo import Demo


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep it running until Ctrl-C, and print how to send more.")
    ] = False,
) -> None:
    """Start everything on this machine, send messages on each channel, print each step, and stop everything."""
    console = Console()
    if not signals.run_interruptible(lambda interruption: Demo(console, interruption).run(keep=keep)) and not keep:
        raise typer.Exit(EXIT_INTERRUPTED)
