"""`msgctl demo`: see real messages go through the whole pipeline, with nothing but this package."""

from typing import Annotated

import typer
from rich.console import Console

from msgctl.cli.framework.exit import EXIT_INTERRUPTED
from msgctl.local import signals
from msgctl.local.demo.demo import Demo


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it up, and say how to send more, until Ctrl-C.")
    ] = False,
) -> None:
    """Start everything on this machine, send messages on every channel, watch each step, stop everything."""
    console = Console()
    if not signals.run_interruptible(lambda interruption: Demo(console, interruption).run(keep=keep)) and not keep:
        raise typer.Exit(EXIT_INTERRUPTED)
