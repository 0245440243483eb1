"""The timeouts and size limits for clients that send slowly or endlessly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from daemons.gateway.app import serve
from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from tests.support.gateway_clients import Client, running
from tools.support.daemons import PATIENCE

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def hasty(settings: Settings) -> AsyncIterator[Client]:
    """A client of a gateway with short timeouts."""
    limits = settings.limits.model_copy(update={"head_timeout": 0.5, "body_timeout": 0.5, "keep_alive": 1.0})
    async with (
        running(serve, settings.model_copy(update={"limits": limits})) as life,
        aiohttp.ClientSession() as http,
    ):
        yield Client(life.status.result().removeprefix("listening at "), settings, "ana", http)


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Streams]:
    """A bare connection."""
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def drip(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a little again and again, as a slowloris does."""
    while True:
        writer.write(piece)
        await asyncio.sleep(0.05)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Read until the connection ends, which it must. A reset is an end too."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        return b""


def head(client: Client, length: int) -> bytes:
    """The head of a POST."""
    return (
        f"POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("begin", ["nothing", "a header", "a body"])
async def test_slow_client_is_disconnected(begin: str, settings: Settings, agent: Agent) -> None:
    """Clients that send nothing, slow headers, or a slow body are disconnected, while others are served."""
    async with hasty(settings) as client, connected(client) as (reader, writer):
        if begin == "a header":
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        elif begin == "a body":
            writer.write(head(client, 60_000))
        dripping = asyncio.create_task(drip(writer, b"x: y\r\n")) if begin != "nothing" else None
        answer = await rest(reader)
        if dripping:
            dripping.cancel()
        assert answer.startswith(b"HTTP/1.1 408") or (not answer and begin == "nothing"), answer
        assert (await client.post({"agentId": agent.id, "message": "oi"})).status == 202


async def test_idle_connection_is_closed(settings: Settings) -> None:
    """A connection that is idle after a response is closed."""
    async with hasty(settings) as client, connected(client) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await rest(reader)).startswith(b"HTTP/1.1 200")


async def test_head_size_is_limited(client: Client) -> None:
    """Endless headers are refused long before they fill the memory."""
    async with connected(client) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"x: y\r\n" * 20_000)
        assert (await rest(reader)).startswith((b"HTTP/1.1 431", b""))
        assert (await client.get("/healthz")).status == 200


async def test_request_in_progress_has_no_client_timeout(settings: Settings) -> None:
    """A connection with pauses between requests shorter than `keep_alive` serves them all."""
    async with hasty(settings) as client, connected(client) as (reader, writer):
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"}}"), PATIENCE)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.3)
