"""One gateway takes over from another on the same port, under a stream of short connections."""

import asyncio
import json
import signal
import socket

import aiohttp
import pytest

from daemons.gateway.app import serve
from daemons.gateway.server import server
from daemons.gateway.server.http_protocol import reset_min_hops
from daemons.gateway.server.server import MAX_HOPS, ignore_new_connections
from msgctl.agents.agents import Agent
from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Client, running
from tools.support.daemons import PATIENCE, Daemon, until

STREAMS = 8
NEWCOMERS = 40


class Stream:
    """Posts messages, each over a connection of its own, until told to stop.

    Args:
        port: the gateway's.
        token: of the user.
        agent_id: who is written to.
    """

    def __init__(self, port: int, token: str, agent_id: str) -> None:
        self.accepted: list[str] = []
        self.failures: list[str] = []
        self._port = port
        self._body = json.dumps({"agentId": agent_id, "message": "oi"}).encode()
        self._head = (
            f"POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self._body)}\r\n\r\n"
        ).encode()

    async def run(self, stop: asyncio.Event) -> None:
        """Post one after the other."""
        while not stop.is_set():
            try:
                answer = await asyncio.wait_for(self._post(), PATIENCE)
            except OSError as error:
                self.failures.append(type(error).__name__)
                continue
            if answer.startswith(b"HTTP/1.1 202"):
                self.accepted.append(json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["messageId"])
            else:
                self.failures.append(repr(answer[:40]))

    async def _post(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._head + self._body)
            return await reader.read()
        finally:
            writer.close()


async def test_takeover_refuses_no_client_and_loses_no_message(
    settings: Settings, agent: Agent, redis: RedisClient
) -> None:
    """SIGTERM while clients come and go: not one connection is refused or reset, each 202 is in Redis."""
    token = tokens.issue(settings, "ana", 600)
    async with Daemon("gateway", settings) as first:
        port = int(first.status.rpartition(":")[2])
        same = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
        async with Daemon("gateway", same):
            stop = asyncio.Event()
            streams = [Stream(port, token, agent.id) for _ in range(STREAMS)]
            running = [asyncio.create_task(stream.run(stop)) for stream in streams]
            await until(lambda: all(len(stream.accepted) >= 20 for stream in streams), "the streams to flow")
            first.process.send_signal(signal.SIGTERM)
            assert await first.exited() == 0
            stop.set()
            await asyncio.gather(*running)
    assert [failure for stream in streams for failure in stream.failures] == []
    for stream in streams:
        for message_id in stream.accepted:
            assert await redis.exists(keys.job_key(message_id)), message_id
    assert "Traceback" not in first.output, first.output


async def test_stopping_gateway_accepts_no_new_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its farewell on each newcomer is served by the other gateway, none by the one that goes."""
    monkeypatch.setattr(server, "ACCEPT_GRACE_S", 1.5)
    async with running(serve, settings) as going, aiohttp.ClientSession() as http:
        client = Client(going.status.result().removeprefix("listening at "), settings, "ana", http)
        port = int(client.url.rpartition(":")[2])
        same = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
        async with client.socket() as chat:
            await chat.hear("connected")
            async with running(serve, same):
                going.stopping.set()
                assert (await chat.closed())[0] == 1001
                answers = await asyncio.gather(*(ask(port) for _ in range(NEWCOMERS)))
    assert [answer.split()[1] for answer in answers] == [b"200"] * NEWCOMERS


async def ask(port: int) -> bytes:
    """What whoever listens says of its readiness, over a connection of its own; a gateway that goes says 503."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer


async def test_ignored_connection_reaches_the_other_listener() -> None:
    """Two listeners share a port. What the first one no longer lets in is not reset when it closes, only later."""
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    port = first.getsockname()[1]
    with first, socket.create_server(("127.0.0.1", port), backlog=100, reuse_port=True):
        assert ignore_new_connections(first)
        coming = [asyncio.create_task(asyncio.open_connection("127.0.0.1", port)) for _ in range(40)]
        await until(lambda: sum(task.done() for task in coming) > 5, "those whom the second one got")
        assert any(not task.done() for task in coming)
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.accept()
        first.close()
        for _, writer in await asyncio.wait_for(asyncio.gather(*coming), PATIENCE):
            writer.close()


async def test_handshake_in_progress_completes() -> None:
    """Who had knocked before the door was shut comes in, and what they send is heard, not dropped."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        assert ignore_new_connections(listener)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, MAX_HOPS)  # passes as one who had knocked before
        client.settimeout(PATIENCE)
        client.connect(listener.getsockname())
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
        client.sendall(b"oi")
        connection, _ = listener.accept()
        with connection:
            reset_min_hops(connection)
            connection.settimeout(PATIENCE)
            assert connection.recv(2) == b"oi"
