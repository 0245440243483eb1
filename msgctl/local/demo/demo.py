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

from msgctl.agents.agents import Agents
from msgctl.auth import tokens
from msgctl.domain.errors import MsgctlError
from msgctl.local import terminal
from msgctl.local.demo import clients as traffic
from msgctl.local.demo.board import DemoBoard, DemoMessage
from msgctl.local.fakes.providers import FakeProviders
from msgctl.local.signals import Interrupts
from msgctl.local.supervisor.local_pipeline import LocalPipeline
from msgctl.local.supervisor.options import UpOptions

STARTING_TEXT = "Starting Valkey, PostgreSQL, a fake n8n, a worker, a subscriber, and a gateway."
DEMO_USER = "demo"
N8N_DELAY_MS = 350
"""Milliseconds the stand-in thinks about each answer, so that the steps can be seen."""
REPLIES_TIMEOUT_S = 15.0
"""Seconds within which every reply must be there."""
CONVERSATION_TEXTS = ("Hello, who are you?", "Do you remember what I said?", "And now?")
TOKEN_LIFETIME_S = 86_400.0


@dataclass
class Demo:
    """One showing.

    Args:
        console: where it is shown.
        interruption: what Ctrl-C does.
    """

    console: Console
    interrupts: Interrupts

    async def run(self, *, keep: bool) -> None:
        """Start everything, send, show, stop everything.

        Args:
            keep: leave it up afterwards, until a signal.

        Raises:
            MsgctlError: something did not start, or a reply is missing.
        """
        begun = time.monotonic()
        lines: deque[str] = deque(maxlen=15)
        self.console.print(STARTING_TEXT)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="msgctl-demo-")))
            recorder = await stack.enter_async_context(FakeProviders())
            pipeline = LocalPipeline(
                _make_options(folder, recorder), lambda name, line: lines.append(f"{name} | {line}")
            )
            with self.console.status("Waiting until each is ready"):
                await stack.enter_async_context(pipeline)
            self.interrupts.on_repeat = pipeline.supervisor.terminate_all
            started = time.monotonic() - begun
            self.console.print(f"All up after {started:.1f} s: {pipeline.running.gateway}\n")
            agent, token = await _make_agent_and_token(pipeline)
            board = await self._send_and_show(pipeline, recorder, agent, token)
            if missing := board.unanswered():
                raise MsgctlError(_describe_missing(missing, list(lines)))
            board.print_replies()
            board.print_times(started)
            if keep:
                self._print_next_steps(pipeline, agent, token)
                await pipeline.watch()
        self.console.print("Everything is stopped, nothing is left.")

    async def _send_and_show(
        self, pipeline: LocalPipeline, recorder: FakeProviders, agent: str, token: str
    ) -> DemoBoard:
        running = pipeline.running
        recorder.callback_secret = running.settings.callback.secret.get_secret_value()
        talk = [_new_message("WebSocket", text) for text in CONVERSATION_TEXTS]
        single = {
            channel: _new_message(channel, f"Hello from {channel}") for channel in ("whatsapp", "telegram", "api")
        }
        rest = _new_message("REST", "Hello over REST, answered at the socket")
        board = DemoBoard([rest, *talk, *single.values()], self.console)
        recorder.on_request = partial(traffic.show_provider_request, board, single)
        socket, socket_id = await traffic.open_socket(running.gateway, token)
        listening = asyncio.Event()
        following = [
            asyncio.create_task(traffic.follow_progress(running.settings, board, listening)),
            asyncio.create_task(traffic.follow_socket(socket, board)),
        ]
        bodies = _request_bodies(single, recorder.url, agent) | {
            rest.message_id: _request_body(rest, agent, "web", websocketId=socket_id)
        }
        try:
            await listening.wait()
            with board.live():
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

    def _print_next_steps(self, pipeline: LocalPipeline, agent: str, token: str) -> None:
        running = pipeline.running
        self.console.print("\nIt stays up until Ctrl-C.\n")
        for name, value in (("URL", running.gateway), ("token", token), ("config", running.config)):
            self.console.print(f"{name:<7} {value}", soft_wrap=True, highlight=False)
        line = terminal.curl_command(running.gateway, token, agent)
        self.console.print(f"\n{line}\n", soft_wrap=True, highlight=False, markup=False)


def _make_options(folder: Path, recorder: FakeProviders) -> UpOptions:
    """Everything on free ports, and every provider's address that of the recorder."""
    return UpOptions(
        data_dir=folder,
        embedded=True,
        port=0,
        stand_in=["--delay", str(N8N_DELAY_MS)],
        settings={
            ("whatsapp", "base_url"): recorder.url,
            ("whatsapp", "phone_number_id"): "100200300400500",
            ("whatsapp", "token"): "demo",
            ("telegram", "base_url"): recorder.url,
            ("telegram", "token"): "1234567890:demo",
            ("callback", "allowed_hosts"): [recorder.url.removeprefix("http://")],
        },
    )


async def _make_agent_and_token(pipeline: LocalPipeline) -> tuple[str, str]:
    settings = pipeline.running.settings
    async with Agents(settings) as known:
        agent = await known.add(
            user_id=DEMO_USER, name="Echo", webhook_path="echo", system_prompt="Answer kindly."
        )
    return agent.id, tokens.issue(settings, DEMO_USER, TOKEN_LIFETIME_S)


async def _wait_for_replies(board: DemoBoard, following: list[asyncio.Task[None]]) -> None:
    """Return when every reply is there, or time is up; a listener that breaks breaks the demo."""
    deadline = time.monotonic() + REPLIES_TIMEOUT_S
    while board.unanswered() and time.monotonic() < deadline:
        for task in following:
            if task.done():
                task.result()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # the last step is told beside the reply, not before it


def _new_message(channel: str, text: str) -> DemoMessage:
    return DemoMessage(channel, str(uuid.uuid4()), text)


def _request_body(row: DemoMessage, agent: str, channel: str, **metadata: str) -> dict[str, object]:
    return {
        "messageId": row.message_id,
        "agentId": agent,
        "message": row.text,
        "channel": channel,
        "channelMetadata": metadata,
    }


def _request_bodies(rows: dict[str, DemoMessage], recorder: str, agent: str) -> dict[str, dict[str, object]]:
    metadata = {
        "whatsapp": {"to": traffic.DEMO_PHONE},
        "telegram": {"chatId": traffic.DEMO_CHAT_ID},
        "api": {"callbackUrl": f"{recorder}/callback"},
    }
    return {
        row.message_id: _request_body(row, agent, channel, **metadata[channel]) for channel, row in rows.items()
    }


def _describe_missing(missing: list[DemoMessage], lines: list[str]) -> str:
    which = ", ".join(f"{row.channel} {row.message_id[:8]} ({row.state})" for row in missing)
    log = "\n".join(lines)
    return (
        f"{len(missing)} replies did not arrive within {REPLIES_TIMEOUT_S:g} s: {which}. "
        f"The daemons' last lines:\n{log}"
    )
