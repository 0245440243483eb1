"""`msgctl dash`: the dashboard, on this terminal or in a browser."""

import asyncio
import gc
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli._context import context_of
from msgctl.cli._output import note
from msgctl.config.settings import Settings
from msgctl.errors import InvalidInput
from msgctl.operations.entrance import Operations
from msgctl.operations.pulse import Pulse
from msgctl.redisdb.connection import connect
from msgctl.rqueue.queue import Queue
from msgctl.tui.app import Dashboard
from msgctl.tui.desk import Desk
from msgctl.tui.tape import Player, Recorder

Interval = Annotated[float, typer.Option("--interval", "-n", min=0.5, max=3600, help="Seconds between two looks.")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Look only: no replay, no drop, no edit.")]
Record = Annotated[Path | None, typer.Option("--record", metavar="FILE", help="Keep a look each 5 s, a day long.")]
Replay = Annotated[Path | None, typer.Option("--replay", metavar="FILE", help="Look at what was recorded.")]
Web = Annotated[bool, typer.Option("--web", help="Show it in the browser instead of on this terminal.")]
Host = Annotated[str, typer.Option("--host", help="With --web: where to listen. Off loopback a token is needed.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="With --web: the port; 0 takes a free one.")]
Auth = Annotated[bool, typer.Option("--auth", help="With --web: ask for a token on loopback too.")]


def dash(
    context: typer.Context,
    *,
    interval: Interval = 2.0,
    read_only: ReadOnly = False,
    record: Record = None,
    replay: Replay = None,
    in_browser: Web = False,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    auth: Auth = False,
) -> None:
    """The pipeline, live: overview, messages, dead letters, workers, deliveries, channels, events, logs."""
    if record and replay:
        raise InvalidInput("Say --record or --replay, not both.")
    state = context_of(context)
    settings = state.load()
    if in_browser:
        # textual-serve takes 0.3 s that a terminal need not wait for
        from msgctl.tui.web.place import Place, is_loopback, own_command  # noqa: PLC0415
        from msgctl.tui.web.serving import serve  # noqa: PLC0415

        flags = [f"--interval={interval}", *(["--read-only"] if read_only else [])]
        flags += [f"--record={record}"] if record else [f"--replay={replay}"] if replay else []
        place = Place(host, port, secrets.token_urlsafe(24) if auth or not is_loopback(host) else "")
        serve(place, own_command(state.config_path, flags), told=note)
        return
    if not _is_on_terminal():
        raise InvalidInput("The dashboard needs a terminal. One plain screen: msgctl top")
    player = Player(replay) if replay else None
    recorder = Recorder(record) if record else None
    asyncio.run(_run(settings, interval=interval, read_only=read_only, player=player, recorder=recorder))


def _is_on_terminal() -> bool:
    """Whether somebody can see it and type; behind `--web` its other end is a browser."""
    if "TEXTUAL_DRIVER" in os.environ:
        return True
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


async def _run(
    settings: Settings, *, interval: float, read_only: bool, player: Player | None, recorder: Recorder | None
) -> None:
    redis = connect(settings)
    try:
        async with Pulse(settings) as pulse:
            desk = Desk(
                settings,
                Operations(settings, redis, Queue(redis, settings)),
                pulse=None if player else pulse,
                player=player,
                recorder=recorder,
                read_only=read_only,
                interval=interval,
            )
            gc.freeze()  # what was imported stays, and no collection need walk it
            await Dashboard(desk).run_async()
    finally:
        await redis.aclose()
