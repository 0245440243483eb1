"""`msgctl dash`: the live dashboard, on this terminal or in a browser."""

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
    float, typer.Option("--interval", "-n", min=0.5, max=3600, help="Seconds between two updates.")
]
ReadOnlyOption = Annotated[bool, typer.Option("--read-only", help="Disable replay, drop, and edit.")]
RecordOption = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Record a snapshot every 5 s, for a day.")
]
ReplayOption = Annotated[Path | None, typer.Option("--replay", metavar="FILE", help="Play back a recording.")]
WebOption = Annotated[bool, typer.Option("--web", help="Serve it to a browser.")]
HostOption = Annotated[
    str, typer.Option("--host", help="With --web: address to listen on. Off loopback, it requires a token.")
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="With --web: port to listen on. 0 takes a free one.")
]
AuthOption = Annotated[bool, typer.Option("--auth", help="With --web: require a token on loopback too.")]


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
    """Show the live dashboard: messages, dead letters, workers, deliveries, channels, events, and logs."""
    if record and replay:
        raise InvalidInput("Give --record or --replay, not both.")
    state = global_options_of(context)
    settings = state.load()
    if in_browser:
        # textual-serve takes 0.3 s, and only --web needs it
        from msgctl.tui.web.endpoint import WebEndpoint, dashboard_command, is_loopback  # noqa: PLC0415
        from msgctl.tui.web.server import serve  # noqa: PLC0415

        flags = [f"--interval={interval}", *(["--read-only"] if read_only else [])]
        flags += [f"--record={record}"] if record else [f"--replay={replay}"] if replay else []
        endpoint = WebEndpoint(host, port, secrets.token_urlsafe(24) if auth or not is_loopback(host) else "")
        serve(endpoint, dashboard_command(state.config_path, flags), on_ready=print_note)
        return
    if not _is_on_terminal():
        raise InvalidInput("The dashboard needs a terminal. Print plain text instead: msgctl top")
    player = SnapshotPlayer(replay) if replay else None
    recorder = SnapshotRecorder(record) if record else None
    asyncio.run(_run_dashboard(settings, interval=interval, read_only=read_only, player=player, recorder=recorder))


def _is_on_terminal() -> bool:
    """Return whether a person can see it and type. With `--web`, a browser is the terminal."""
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
        async with PostgresPing(settings) as postgres_ping:
            dashboard_context = DashboardContext(
                settings,
                Context(settings, redis, Queue(redis, settings)),
                postgres_ping=None if player else postgres_ping,
                player=player,
                recorder=recorder,
                read_only=read_only,
                interval_s=interval,
            )
            gc.freeze()  # garbage collection then skips the imported modules
            await Dashboard(dashboard_context).run_async()
    finally:
        await redis.aclose()
