"""`msgctl dash`: the dashboard, on this terminal or in a browser."""

import asyncio
import gc
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.output import print_note
from msgctl.config.settings import Settings
from msgctl.domain.errors import InvalidInput
from msgctl.operations.context import Context
from msgctl.operations.dashboard.postgres_ping import PostgresPing
from msgctl.queue.queue import Queue
from msgctl.storage.redis.connections import connect
from msgctl.tui.app import Dashboard
from msgctl.tui.context import DashboardContext
from msgctl.tui.recording import SnapshotPlayer, SnapshotRecorder

IntervalOption = Annotated[
    float, typer.Option("--interval", "-n", min=0.5, max=3600, help="Seconds between two looks.")
]
ReadOnlyOption = Annotated[bool, typer.Option("--read-only", help="Look only: no replay, no drop, no edit.")]
RecordOption = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Keep a look each 5 s, a day long.")
]
ReplayOption = Annotated[Path | None, typer.Option("--replay", metavar="FILE", help="Look at what was recorded.")]
WebOption = Annotated[bool, typer.Option("--web", help="Show it in the browser instead of on this terminal.")]
HostOption = Annotated[
    str, typer.Option("--host", help="With --web: where to listen. Off loopback a token is needed.")
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="With --web: the port; 0 takes a free one.")
]
AuthOption = Annotated[bool, typer.Option("--auth", help="With --web: ask for a token on loopback too.")]


def dash(
    context: typer.Context,
    *,
    interval: IntervalOption = 2.0,
    read_only: ReadOnlyOption = False,
    record: RecordOption = None,
    replay: ReplayOption = None,
    in_browser: WebOption = False,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    auth: AuthOption = False,
) -> None:
    """The pipeline, live: overview, messages, dead letters, workers, deliveries, channels, events, logs."""
    if record and replay:
        raise InvalidInput("Say --record or --replay, not both.")
    state = global_options_of(context)
    settings = state.load()
    if in_browser:
        # textual-serve takes 0.3 s that a terminal need not wait for
        from msgctl.tui.web.endpoint import WebEndpoint, dashboard_command, is_loopback  # noqa: PLC0415
        from msgctl.tui.web.server import serve  # noqa: PLC0415

        flags = [f"--interval={interval}", *(["--read-only"] if read_only else [])]
        flags += [f"--record={record}"] if record else [f"--replay={replay}"] if replay else []
        place = WebEndpoint(host, port, secrets.token_urlsafe(24) if auth or not is_loopback(host) else "")
        serve(place, dashboard_command(state.config_path, flags), on_ready=print_note)
        return
    if not _is_on_terminal():
        raise InvalidInput("The dashboard needs a terminal. One plain screen: msgctl top")
    player = SnapshotPlayer(replay) if replay else None
    recorder = SnapshotRecorder(record) if record else None
    asyncio.run(_run_dashboard(settings, interval=interval, read_only=read_only, player=player, recorder=recorder))


def _is_on_terminal() -> bool:
    """Whether somebody can see it and type; behind `--web` its other end is a browser."""
    if "TEXTUAL_DRIVER" in os.environ:
        return True
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


async def _run_dashboard(
    settings: Settings,
    *,
    interval: float,
    read_only: bool,
    player: SnapshotPlayer | None,
    recorder: SnapshotRecorder | None,
) -> None:
    redis = connect(settings)
    try:
        async with PostgresPing(settings) as pulse:
            desk = DashboardContext(
                settings,
                Context(settings, redis, Queue(redis, settings)),
                postgres_ping=None if player else pulse,
                player=player,
                recorder=recorder,
                read_only=read_only,
                interval_s=interval,
            )
            gc.freeze()  # what was imported stays, and no collection need walk it
            await Dashboard(desk).run_async()
    finally:
        await redis.aclose()
