"""`msgctl top`: the overview as plain text, for a dumb terminal or a script's log."""

import asyncio
import os
import sys
from typing import Annotated

import msgspec
import typer

from msgctl.cli._output import RecordOutput, RecordShape, print_json, print_text
from msgctl.cli._session import Session, run
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.plain import page

CLEAR = "\x1b[H\x1b[2J"

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")]
Interval = Annotated[float, typer.Option("--interval", "-n", min=0.5, max=3600, help="With --watch: seconds.")]


def top(
    context: typer.Context,
    *,
    watch: Watch = False,
    interval: Interval = 2.0,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """The overview on one plain screen: counts, priorities, workers, channels, health."""
    run(context, lambda session: _top(session, every=interval if watch else None, output=output))


async def _top(session: Session, *, every: float | None, output: RecordShape) -> None:
    while True:
        _print(await session.operations.overview.read(), watching=every is not None, output=output)
        if every is None:
            return
        await asyncio.sleep(every)


def _print(snapshot: Snapshot, *, watching: bool, output: RecordShape) -> None:
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.snapshot/1", **msgspec.to_builtins(snapshot)})
        return
    clears = watching and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    print_text((CLEAR if clears else "") + "\n".join(page(snapshot)))
