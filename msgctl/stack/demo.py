"""`msgctl demo`: the whole pipeline in a temporary folder, real messages through it, nothing left behind."""

import asyncio
import secrets
import time
import uuid
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from msgctl import tokens
from msgctl.agents.store import Agents
from msgctl.errors import MsgctlError
from msgctl.stack import console as terminal
from msgctl.stack import demo_traffic as traffic
from msgctl.stack.demo_board import Board, Row
from msgctl.stack.interrupts import Interrupts
from msgctl.stack.options import Options
from msgctl.stack.recorder import Recorder
from msgctl.stack.up import Pipeline

STARTING = "Starting Valkey, PostgreSQL, an n8n stand-in, worker, subscriber and gateway."
USER = "demo"
LATENCY = 350
"""Milliseconds the stand-in thinks about each answer, so that the steps can be seen."""
PATIENCE = 15.0
"""Seconds within which every reply must be there."""
CONVERSATION = ("Hello, who are you?", "Do you remember what I said?", "And now?")
TOKEN_LIFETIME = 86_400.0


@dataclass
class Demo:
    """One showing.

    Args:
        console: where it is shown.
        interruption: what Ctrl-C does.
    """

    console: Console
    interruption: Interrupts

    async def run(self, *, keep: bool) -> None:
        """Start everything, send, show, stop everything.

        Args:
            keep: leave it up afterwards, until a signal.

        Raises:
            MsgctlError: something did not start, or a reply is missing.
        """
        begun = time.monotonic()
        lines: deque[str] = deque(maxlen=15)
        self.console.print(STARTING)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="msgctl-demo-")))
            recorder = await stack.enter_async_context(Recorder())
            pipeline = Pipeline(_options(folder, recorder), lambda name, line: lines.append(f"{name} | {line}"))
            with self.console.status("Waiting until each is ready"):
                await stack.enter_async_context(pipeline)
            self.interruption.hurry = pipeline.supervisor.hurry
            started = time.monotonic() - begun
            self.console.print(f"All up after {started:.1f} s: {pipeline.running.gateway}\n")
            agent, token = await _make_agent_and_token(pipeline)
            board = await self._send_and_show(pipeline, recorder, agent, token)
            if missing := board.missing():
                raise MsgctlError(_complain(missing, list(lines)))
            board.show_replies()
            board.show_times(started)
            if keep:
                self._say_how_to_go_on(pipeline, agent, token)
                await pipeline.watch()
        self.console.print("Everything is stopped, nothing is left.")

    async def _send_and_show(self, pipeline: Pipeline, recorder: Recorder, agent: str, token: str) -> Board:
        running = pipeline.running
        recorder.callback_secret = running.settings.callback.secret.get_secret_value()
        talk = [_row("WebSocket", text) for text in CONVERSATION]
        single = {channel: _row(channel, f"Hello from {channel}") for channel in ("whatsapp", "telegram", "api")}
        rest = _row("REST", "Hello over REST, answered at the socket")
        board = Board([rest, *talk, *single.values()], self.console)
        recorder.heard = partial(traffic.hear_provider, board, single)
        socket, socket_id = await traffic.open_socket(running.gateway, token)
        listening = asyncio.Event()
        following = [
            asyncio.create_task(traffic.follow_progress(running.settings, board, listening)),
            asyncio.create_task(traffic.follow_socket(socket, board)),
        ]
        bodies = _bodies(single, recorder.url, agent) | {
            rest.message_id: _body(rest, agent, "web", websocketId=socket_id)
        }
        try:
            await listening.wait()
            with board.shown():
                sending = [
                    traffic.send_by_socket(socket, talk, agent, f"talk-{secrets.token_hex(4)}"),
                    *(
                        traffic.send_by_rest(running.gateway, token, row, bodies[row.message_id])
                        for row in (rest, *single.values())
                    ),
                ]
                await asyncio.gather(*sending)
                await _wait_for_replies(board, following)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await socket.close()
        return board

    def _say_how_to_go_on(self, pipeline: Pipeline, agent: str, token: str) -> None:
        running = pipeline.running
        self.console.print("\nIt stays up until Ctrl-C.\n")
        for name, value in (("URL", running.gateway), ("token", token), ("config", running.config)):
            self.console.print(f"{name:<7} {value}", soft_wrap=True, highlight=False)
        line = terminal.curl(running.gateway, token, agent)
        self.console.print(f"\n{line}\n", soft_wrap=True, highlight=False, markup=False)


def _options(folder: Path, recorder: Recorder) -> Options:
    """Everything on free ports, and every provider's address that of the recorder."""
    return Options(
        data_dir=folder,
        embedded=True,
        port=0,
        stand_in=["--delay", str(LATENCY)],
        settings={
            ("whatsapp", "base_url"): recorder.url,
            ("whatsapp", "phone_number_id"): "100200300400500",
            ("whatsapp", "token"): "demo",
            ("telegram", "base_url"): recorder.url,
            ("telegram", "token"): "1234567890:demo",
            ("callback", "allowed_hosts"): [recorder.url.removeprefix("http://")],
        },
    )


async def _make_agent_and_token(pipeline: Pipeline) -> tuple[str, str]:
    settings = pipeline.running.settings
    async with Agents(settings) as known:
        agent = await known.add(user_id=USER, name="Echo", webhook_path="echo", system_prompt="Answer kindly.")
    return agent.id, tokens.issue(settings, USER, TOKEN_LIFETIME)


async def _wait_for_replies(board: Board, following: list[asyncio.Task[None]]) -> None:
    """Return when every reply is there, or time is up; a listener that breaks breaks the demo."""
    deadline = time.monotonic() + PATIENCE
    while board.missing() and time.monotonic() < deadline:
        for task in following:
            if task.done():
                task.result()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # the last step is told beside the reply, not before it


def _row(channel: str, text: str) -> Row:
    return Row(channel, str(uuid.uuid4()), text)


def _body(row: Row, agent: str, channel: str, **metadata: str) -> dict[str, object]:
    return {
        "messageId": row.message_id,
        "agentId": agent,
        "message": row.text,
        "channel": channel,
        "channelMetadata": metadata,
    }


def _bodies(rows: dict[str, Row], recorder: str, agent: str) -> dict[str, dict[str, object]]:
    metadata = {
        "whatsapp": {"to": traffic.PHONE},
        "telegram": {"chatId": traffic.CHAT},
        "api": {"callbackUrl": f"{recorder}/callback"},
    }
    return {row.message_id: _body(row, agent, channel, **metadata[channel]) for channel, row in rows.items()}


def _complain(missing: list[Row], lines: list[str]) -> str:
    which = ", ".join(f"{row.channel} {row.message_id[:8]} ({row.state})" for row in missing)
    log = "\n".join(lines)
    return f"{len(missing)} replies did not arrive within {PATIENCE:g} s: {which}. The daemons' last lines:\n{log}"
