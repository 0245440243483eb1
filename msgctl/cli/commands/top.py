"""`msgctl top`: the overview as plain text, for a simple terminal or a log."""

import asyncio
import os
import sys
from typing import Annotated

import msgspec
import typer

from msgctl.cli.framework.options import RecordFormat, RecordOutputOption, WatchOption
from msgctl.cli.framework.output import print_json, print_text
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.operations.dashboard.overview import Overview
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.plain_text import overview_lines

CLEAR_SCREEN = "\x1b[H\x1b[2J"

WatchIntervalOption = Annotated[
    float,
    typer.Option("--interval", "-n", min=0.5, max=3600, help="With --watch: seconds between two repetitions."),
]


def top(
    context: typer.Context,
    *,
    watch: WatchOption = False,
    interval: WatchIntervalOption = 2.0,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Print the overview as plain text: counts, priorities, workers, channels, and health."""
    run_with_session(
        context, lambda session: _print_overviews(session, every=interval if watch else None, output=output)
    )


async def _print_overviews(session: CommandSession, *, every: float | None, output: RecordFormat) -> None:
    while True:
        _print_overview(await session.context.get(Overview).read(), watching=every is not None, output=output)
        if every is None:
            return
        await asyncio.sleep(every)


def _print_overview(snapshot: Snapshot, *, watching: bool, output: RecordFormat) -> None:
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.snapshot/1", **msgspec.to_builtins(snapshot)})
        return
    clears = watching and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    print_text((CLEAR_SCREEN if clears else "") + "\n".join(overview_lines(snapshot)))
