"""A thousand clients that do not read, and some on a dead line: the others notice nothing, and nothing is lost."""

import asyncio
import re
import statistics
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from msgctl.aio import cancel
from msgctl.auth import tokens
from msgctl.domain.messages import Channel
from msgctl.local.supervisor import ports
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tools.chaos.dead_line import Silent
from tools.chaos.environment import Place
from tools.chaos.gateway_kills import at, with_secret
from tools.chaos.replies import USER, Replies, name_of
from tools.support.daemons import PATIENCE, Daemon

SLOW, DARK, OTHER = 0, 1, 2
"""Conversations: of the slow, of those on a dead line, of one who reads."""
TEXT = "x" * 16_000
AT_ONCE = 50
"""Clients that connect at the same time: all are there before the first one owes the gateway a pong."""
DEADLINE = 10.0
"""Seconds within which a client that takes nothing is closed."""
MOST_MEMORY = 1.2
"""MB that one slow client may cost the gateway."""


@dataclass(frozen=True)
class Plan:
    """How bad it gets."""

    slow: int
    dark: int
    burst: int
    """Replies of 16 KB that each slow client is sent and does not read."""


FULL = Plan(1000, 20, 14)
SHORT = Plan(40, 5, 14)


@dataclass(frozen=True)
class Report:
    """What came of it. Times are in seconds."""

    slow: int
    closed_4408: int
    """Of these, sockets that the gateway gave up with 4408; the kernel was faster with the others."""
    closed_within: float
    """From when the gateway had all that they do not read until the last slow client was closed …"""
    dark: int
    """Clients whose line was dead (0: this system cannot make one)."""
    dark_closed_within: float
    """… and the last one on a dead line."""
    megabytes_each: float
    """What a slow client cost the gateway at the most."""
    others_had: int
    """Replies that a client that reads got meanwhile."""
    others_missed: int
    others_median_before: float
    others_median_meanwhile: float
    """From the commit of a reply until a client that reads has it, while the slow ones sit there."""
    lost_after_resume: int

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return (
            max(self.closed_within, self.dark_closed_within) <= DEADLINE
            and self.megabytes_each <= MOST_MEMORY
            and self.others_had > 0
            and not (self.others_missed or self.lost_after_resume)
        )


class SlowClients:
    """One run.

    Args:
        place: servers of its own.
        plan: how bad.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self._redis: Any = place.redis
        metrics = place.settings.metrics.model_copy(update={"port": ports.free_port()})
        settings = place.settings.model_copy(update={"metrics": metrics})
        self._quiet = place.settings
        self._settings = at(with_secret(settings), ports.free_port())
        self._plan = plan
        token = tokens.issue(self._settings, USER, 3600)
        self._url = f"ws://127.0.0.1:{self._settings.gateway.port}/ws/chat?token={token}"
        self._replies = Committed(place.redis)

    async def run(self) -> Report:
        """Let them connect, send them what they do not read; look at them, at the others and at the gateway."""
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(Daemon("gateway", self._settings))
            await stack.enter_async_context(Daemon("subscriber", self._quiet))
            slow = [stack.enter_context(closing(Silent(self._url))) for _ in range(self._plan.slow)]
            dark = [stack.enter_context(closing(Silent(self._url))) for _ in range(self._plan.dark)]
            other = await stack.enter_async_context(Other(self._url, self._replies))
            await other.chat(40)
            before = statistics.median(other.took)
            other.took.clear()
            for first in range(0, len(slow), AT_ONCE):
                await asyncio.gather(*(one.follow(name_of(SLOW)) for one in slow[first : first + AT_ONCE]))
            await asyncio.gather(*(one.follow(name_of(DARK)) for one in dark))
            dark = dark if _darken(dark) else []
            memory = Memory(gateway.process.pid)
            chatting = asyncio.create_task(other.chat(10_000))
            watching = asyncio.create_task(memory.watch())
            await self._replies.commit(DARK, "x")
            await self._taken_in()
            dark_told = time.monotonic()
            dark_gone = asyncio.create_task(self._gone(DARK))
            slow_gone = asyncio.create_task(self._gone(SLOW))
            for _ in range(self._plan.burst):
                await self._replies.commit(SLOW, TEXT)
            await self._taken_in()
            slow_told, behind = time.monotonic(), len(other.took)
            closed_within = await slow_gone - slow_told
            meanwhile = statistics.median(other.took[behind:] or other.took or [0.0])
            dark_closed_within = await dark_gone - dark_told
            if chatting.done():
                chatting.result()
            await cancel(chatting, watching)
            return Report(
                slow=len(slow),
                closed_4408=await self._count_closed(),
                closed_within=closed_within,
                dark=len(dark),
                dark_closed_within=dark_closed_within,
                megabytes_each=memory.grown / len(slow),
                others_had=len(other.took),
                others_missed=other.missed,
                others_median_before=before,
                others_median_meanwhile=meanwhile,
                lost_after_resume=self._plan.burst - await self._resumed(SLOW),
            )

    async def _taken_in(self) -> None:
        """Return once the gateway has read what there is for its sockets."""
        [name] = await self._redis.hkeys(keys.GATEWAYS)
        while True:
            pending = await self._redis.xpending(keys.RESPONSES, keys.RESPONSES_GROUP)
            [group] = await self._redis.xinfo_groups(keys.RESPONSES)
            if not (pending["pending"] or group["lag"] or await self._redis.xlen(f"{keys.INBOX}{name}")):
                return
            await asyncio.sleep(0.05)

    async def _gone(self, conversation: int) -> float:
        """When the gateway has let go of every socket that followed this one."""
        while await self._redis.exists(keys.SOCKETS + name_of(conversation)):  # noqa: ASYNC110 - it is Redis's
            await asyncio.sleep(0.1)
        return time.monotonic()

    async def _count_closed(self) -> int:
        """How many sockets the gateway says that it closed as slow."""
        address = f"http://127.0.0.1:{self._settings.metrics.port}/metrics"
        async with aiohttp.ClientSession() as http, http.get(address) as answer:
            found = re.search(r'sockets_closed_total\{code="4408"\} (\d+)', await answer.text())
        return int(found[1]) if found else 0

    async def _resumed(self, conversation: int) -> int:
        """How many replies a client gets that comes back with nothing."""
        count = 0
        async with connect(self._url, max_size=None) as socket:
            resume = {"conversationId": name_of(conversation), "afterSeq": 0}
            await socket.send(msgspec.json.encode({"type": "resume", "data": resume}).decode())
            async for text in socket:
                frame = msgspec.json.decode(text)
                count += frame["type"] == "message"
                if frame["type"] == "resumed":
                    break
        return count


class Committed:
    """Commits replies of a few conversations, each the next of its own."""

    def __init__(self, redis: RedisClient) -> None:
        self._replies = Replies(redis, OTHER + 1, Channel.WEB)
        self._last = [0] * (OTHER + 1)

    async def commit(self, conversation: int, text: str) -> int:
        """The next reply of a conversation; its number."""
        self._last[conversation] += 1
        await self._replies.commit([(self._last[conversation] - 1) * len(self._last) + conversation], text=text)
        return self._last[conversation]


class Other:
    """A client that reads, and takes the time.

    Args:
        url: of the gateway, with a token.
        replies: commits what it is sent.
    """

    def __init__(self, url: str, replies: Committed) -> None:
        self._connecting = connect(url)
        self._replies = replies
        self.took: list[float] = []
        self.missed = 0

    async def __aenter__(self) -> Self:
        self._socket = await self._connecting.__aenter__()
        resume = {"type": "resume", "data": {"conversationId": name_of(OTHER), "afterSeq": 0}}
        await self._socket.send(msgspec.json.encode(resume).decode())
        while b"resumed" not in await self._socket.recv(decode=False):
            pass
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def chat(self, count: int) -> None:
        """Be sent so many replies, one after the other."""
        for _ in range(count):
            begun = time.monotonic()
            seq = await self._replies.commit(OTHER, "hi ")
            try:
                async with asyncio.timeout(PATIENCE):
                    frame = msgspec.json.decode(await self._socket.recv())
            except (TimeoutError, ConnectionClosed):
                self.missed += 1
                return
            self.missed += frame["data"]["seq"] != seq
            self.took.append(time.monotonic() - begun)
            await asyncio.sleep(0.02)


class Memory:
    """What a process has in memory.

    Args:
        pid: its id.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._first = self._most = self._read()

    @property
    def grown(self) -> float:
        """MB by which it grew, at the most."""
        return (self._most - self._first) / 1024

    async def watch(self) -> None:
        """Look ten times a second, for ever."""
        while True:
            self._most = max(self._most, self._read())
            await asyncio.sleep(0.1)

    def _read(self) -> int:
        return int(self._status.read_text().split("VmRSS:")[1].split()[0])


def _darken(clients: list[Silent]) -> bool:
    try:
        for client in clients:
            client.go_dark()
    except OSError:
        for client in clients:
            client.close()
        return False
    return True
