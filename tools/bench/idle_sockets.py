"""Thousands of idle sockets at one gateway: what each weighs, and how quickly a reply finds the right one."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
from redis.asyncio import Redis

from msgctl.auth import tokens
from msgctl.domain.messages import Channel, Reply, Response
from msgctl.storage.redis import keys
from tools.bench.measure import cpu_seconds
from tools.bench.servers import Place

USERS = 10
OPENING = 50
"""Handshakes at once."""
TICK = 0.01
"""Seconds between two batches of replies."""
PATIENCE = 30.0
"""Seconds the last reply may take."""
TEXT = "Here is an answer of a realistic length, as a model would give it. " * 5
NUMBER = re.compile(r'"messageId":"r(\d+)"')


class Weight(NamedTuple):
    """What sockets cost a gateway that only holds them."""

    sockets: int
    bytes_each: float
    cpu: float
    """Share of a core."""


class Crowd:
    """Open sockets of several users, each of which notes what it hears.

    Args:
        http: makes the connections.
        place: whose secret signs the tokens.
        url: the gateway.
    """

    def __init__(self, http: aiohttp.ClientSession, place: Place, url: str) -> None:
        self._http = http
        self._url = url
        self._tokens = [tokens.issue(place.settings, f"user-{number}", 3600) for number in range(USERS)]
        self._sockets: list[tuple[str, str, asyncio.Task[None]]] = []
        self.heard: dict[int, float] = {}

    @asynccontextmanager
    async def standing(self, size: int) -> AsyncIterator[None]:
        """Open so many sockets, and close them at the end."""
        numbers = iter(range(size))
        await asyncio.gather(*(self._open(numbers) for _ in range(OPENING)))
        try:
            yield
        finally:
            for _, _, listening in self._sockets:
                listening.cancel()
            await asyncio.gather(*(listening for _, _, listening in self._sockets), return_exceptions=True)

    def reply(self, number: int) -> str:
        """The stream entry of a reply to the socket whose turn it is, as COMMIT writes it."""
        user_id, socket_id, _ = self._sockets[number * 7919 % len(self._sockets)]
        response = Response(
            message_id=f"r{number}",
            conversation_id=f"c-{socket_id}",
            agent_id="none",
            response=Reply(message=TEXT, tokens_used=120, model="none", finish_reason="stop"),
            channel=Channel.WEB,
            channel_metadata={"websocketId": socket_id},
            timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
            processing_time=0,
            user_id=user_id,
        )
        return msgspec.json.encode(response).decode()

    async def _open(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            user = number % USERS
            socket = await self._http.ws_connect(f"{self._url}/ws/chat?token={self._tokens[user]}")
            socket_id = (await socket.receive_json())["data"]["socketId"]
            self._sockets.append((f"user-{user}", socket_id, asyncio.create_task(self._listen(socket))))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with socket:
            async for frame in socket:
                if found := NUMBER.search(frame.data):
                    self.heard[int(found[1])] = time.perf_counter()
            raise SystemExit(f"The gateway closed a socket: {socket.close_code}")


@asynccontextmanager
async def weighed(crowd: Crowd, pid: int, size: int, *, seconds: float) -> AsyncIterator[Weight]:
    """Stand so many sockets up, let them idle and say what they weigh; they stand until the context is left."""
    before = resident(pid)
    async with crowd.standing(size):
        cpu = cpu_seconds(pid)
        await asyncio.sleep(seconds)
        yield Weight(size, (resident(pid) - before) / size, (cpu_seconds(pid) - cpu) / seconds)


async def reply(crowd: Crowd, redis: Redis, *, rate: int, seconds: int) -> list[float]:
    """Put replies on the stream at an even pace; milliseconds from when each was due to when its client had it."""
    begun, sent = time.perf_counter(), 0
    while sent < rate * seconds:
        due = min(rate * seconds, int((time.perf_counter() - begun) * rate) + 1)
        pipeline = redis.pipeline(transaction=False)
        for number in range(sent, due):
            pipeline.xadd(keys.RESPONSES, {"kind": "response", "channel": "web", "body": crowd.reply(number)})
        await pipeline.execute()
        sent = due
        await asyncio.sleep(TICK)
    async with asyncio.timeout(PATIENCE):
        while len(crowd.heard) < sent:  # noqa: ASYNC110 - the sockets' tasks count
            await asyncio.sleep(TICK)
    return [(at - begun - number / rate) * 1000 for number, at in crowd.heard.items()]


def resident(pid: int) -> int:
    """Bytes of memory that belong to a process alone and are in use."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024
