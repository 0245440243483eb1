"""A load client for where there is no Node: REST in, WebSocket out, answers told apart by a token in the text.

    python -m tools.bench.client --base URL --secret S --messages N --mode closed|open [--inflight N] [--rate R]

It prints one JSON object, a `load.Outcome`. It takes a core for some hundred messages a second, so it tells what
our processes cost and how long one message takes, but not how many a second they could bear.
"""

import argparse
import asyncio
import re
import sys
import time
import uuid
from http import HTTPStatus
from typing import Any

import aiohttp
import jwt
import msgspec
import uvloop

from tools.bench.load import AGENTS, Outcome, Quantiles
from tools.bench.measure import quantile

USER, AGENT = "20000000-0000-4000-8000-{:012}", "10000000-0000-4000-8000-{:012}"
TOKEN = re.compile(r"load-(\d+)-")
TRY_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Member(msgspec.Struct, frozen=True):
    """One user with a socket."""

    agent: str
    socket_id: str
    headers: dict[str, str]
    """Of his requests."""
    listening: asyncio.Task[None]


class Client:
    """Sends messages over some sockets' users and waits for the answers.

    Args:
        arguments: the command line.
        session: for all requests and sockets.
    """

    def __init__(self, arguments: argparse.Namespace, session: aiohttp.ClientSession) -> None:
        self._arguments = arguments
        self._session = session
        self._sent: dict[int, float] = {}
        self._answers: dict[int, asyncio.Event] = {n: asyncio.Event() for n in range(arguments.messages)}
        self._ends: dict[int, float] = {}
        self._posts: list[float] = []
        self._duplicates = 0

    async def run(self) -> Outcome:
        """Open the sockets, send everything, wait for the last answer."""
        members = await asyncio.gather(*(self._open(number) for number in range(self._arguments.sockets)))
        paced = self._arguments.mode == "open"
        slots = asyncio.Semaphore(self._arguments.messages if paced else self._arguments.inflight)
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._arguments.messages):
                if paced:
                    await asyncio.sleep(begun + number / self._arguments.rate - time.perf_counter())
                await slots.acquire()
                tasks.create_task(self._send(number, members[number % len(members)], slots))
        for member in members:
            member.listening.cancel()
        took = [(self._ends[n] - self._sent[n]) * 1000 - self._arguments.stub_ms for n in self._ends]
        return Outcome(
            received=len(self._ends),
            lost=self._arguments.messages - len(self._ends),
            duplicates=self._duplicates,
            throughput=len(self._ends) / (max(self._ends.values()) - begun),
            overhead_ms=Quantiles(quantile(took, 0.5), quantile(took, 0.99)),
            post_ms=Quantiles(quantile(self._posts, 0.5), quantile(self._posts, 0.99)),
        )

    async def _open(self, number: int) -> Member:
        user = USER.format(number % AGENTS)
        now = int(time.time())
        token = jwt.encode({"sub": user, "iat": now, "exp": now + 3600}, self._arguments.secret)
        socket = await self._session.ws_connect(f"{self._arguments.base}/ws/chat?token={token}")
        greeting = await socket.receive_json()
        listening = asyncio.create_task(self._listen(socket))
        agent = AGENT.format(number % AGENTS)
        headers = {"Authorization": f"Bearer {token}"}
        return Member(agent, greeting["data"]["socketId"], headers, listening)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            found = TOKEN.search(frame.data) if frame.data.startswith('{"type":"message"') else None
            if found:
                number = int(found[1])
                self._duplicates += number in self._ends
                self._ends[number] = time.perf_counter()
                self._answers[number].set()

    async def _send(self, number: int, member: Member, slots: asyncio.Semaphore) -> None:
        body = {
            "agentId": member.agent,
            "message": f"load-{number}- hello, what can you tell me about this order?",
            "channelMetadata": {"websocketId": member.socket_id},
            "conversationId": str(uuid.uuid5(uuid.NAMESPACE_OID, member.socket_id)),
            "priority": 1 + number * 7 % 10,
        }
        self._sent[number] = time.perf_counter()
        while pause := await self._post(body, member):  # noqa: ASYNC110 - it is the gateway that knows
            await asyncio.sleep(pause)
        self._posts.append((time.perf_counter() - self._sent[number]) * 1000)
        try:
            async with asyncio.timeout(self._arguments.timeout):
                await self._answers[number].wait()
        except TimeoutError:
            pass  # counted as lost
        slots.release()

    async def _post(self, body: dict[str, Any], member: Member) -> float:
        """Send; 0 once it is accepted, else the seconds after which the gateway wants to be asked again."""
        async with self._session.post(
            f"{self._arguments.base}/api/messages", json=body, headers=member.headers
        ) as answer:
            if answer.status in TRY_LATER:
                return float(answer.headers["Retry-After"])
            answer.raise_for_status()
            return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.client", description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--mode", choices=["closed", "open"], default="closed")
    for name, value in (("messages", 1000), ("sockets", 50), ("inflight", 100), ("stub-ms", 0), ("timeout", 30)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=50)
    return parser.parse_args()


async def main() -> None:
    """Run the load and print what came of it."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        outcome = await Client(parse(), session).run()
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(main())
