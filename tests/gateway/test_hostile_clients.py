"""Clients that flood, do not read, or never finish: they hold neither memory nor slots, and all of them end."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from daemons.gateway.http.middleware import ConcurrencyLimit
from daemons.gateway.server.http_protocol import HttpProtocol
from daemons.gateway.ws import protocol
from daemons.gateway.ws.protocol import WebSocketProtocol
from msgctl.config.settings import Settings
from tests.support.gateway_clients import Client, gateways
from tools.support.daemons import PATIENCE, until

Clients = Callable[..., Client]

MAX_BUFFERED_BYTES = 512 * 1024
"""What one read of asyncio may add to the send buffer, twice: its answers to the pings of one read."""
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    + "A" * 22
    + "==\r\n"
)
PING = b"\x89\xfd\0\0\0\0" + b"p" * 125
EMPTY_FRAGMENT = b"\x00\x80\0\0\0\0"
EMPTY_TEXT_START = b"\x01\x80\0\0\0\0"


@asynccontextmanager
async def raw(client: Client, receive_buffer: int = 4096) -> AsyncIterator[socket.socket]:
    """A bare connection whose client reads only when the test does."""
    host, port = client.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        yield connection
    finally:
        connection.close()


async def send(connection: socket.socket, data: bytes) -> bool:
    """Send all of it. Return whether the gateway still took it."""
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(connection, data), 1.0)
    except (TimeoutError, ConnectionError):
        return False
    return True


async def read_all(connection: socket.socket) -> bytes:
    """Read until the gateway closes the connection, which it must."""
    received = b""
    try:
        while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 65_536), PATIENCE):
            received += data
    except ConnectionError:
        pass
    return received


async def upgrade(connection: socket.socket, query: str) -> None:
    """Open a WebSocket and read the answer to the handshake."""
    await send(connection, f"GET /ws/chat?{query} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 4096), PATIENCE)
    assert answer.startswith(b"HTTP/1.1 101"), answer


def sockets() -> list[WebSocketProtocol]:
    """The open WebSockets of the gateway in this process."""
    protocols = [thing for thing in gc.get_objects() if issubclass(type(thing), WebSocketProtocol)]
    return [one for one in protocols if not one.disconnected]


def unread() -> list[HttpProtocol]:
    """The HTTP connections that wait for their clients to read."""
    connections = [thing for thing in gc.get_objects() if issubclass(type(thing), HttpProtocol)]
    return [one for one in connections if one.flow.write_paused and not one.transport.is_closing()]


@pytest.mark.parametrize("frames", [0, 100_000])
async def test_pings_of_a_client_that_does_not_read_fill_no_memory(settings: Settings, frames: int) -> None:
    """The gateway answers each ping. It stops reading when its answers are not read."""
    async with gateways(settings, frames=frames) as (make,), raw(client := make()) as connection:
        await upgrade(connection, f"token={client.token}")
        (flooded,) = sockets()
        buffered, taken = 0, True
        for _ in range(400):
            taken = taken and await send(connection, PING * 500)
            buffered = max(buffered, flooded.transport.get_write_buffer_size())
            if not taken:
                break
        assert not taken
        assert buffered < MAX_BUFFERED_BYTES


async def test_pings_are_limited(settings: Settings) -> None:
    """A client that reads the pongs of its flood is closed with 4429."""
    async with gateways(settings, frames=50) as (make,), make().socket() as chat:
        await chat.hear("connected")
        for _ in range(60):
            await chat.socket.ping()
        assert (await chat.closed())[0] == 4429


async def test_socket_without_token_ends_although_it_floods(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 4401 the client has some seconds to answer the close. Pings do not extend them."""
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT_S", 1.0)
    async with gateways(settings) as (make,), raw(make()) as connection:
        await upgrade(connection, "token=x")
        while await send(connection, PING * 500):
            pass
        await until(lambda: not sockets(), "the socket to be gone")


async def test_endless_fragments_are_refused(client: Client) -> None:
    """A message in more fragments than a browser ever sends is closed with 1009."""
    async with raw(client) as connection:
        await upgrade(connection, f"token={client.token}")
        await send(connection, EMPTY_TEXT_START + EMPTY_FRAGMENT * (protocol.MAX_MESSAGE_FRAGMENTS + 1))
        assert b"\x03\xf1too many fragments" in await read_all(connection)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"{UPGRADE}Content-Length: 1\r\n", b"400"),
        (f"{UPGRADE}Transfer-Encoding: chunked\r\n", b"400"),
        (f"{UPGRADE}X: {'y' * 9000}\r\n", b"431"),
        (UPGRADE + "x: y\r\n" * 150, b"431"),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", b"426"),
    ],
)
async def test_bad_upgrade_is_answered_and_closed(client: Client, headers: str, status: bytes) -> None:
    """An upgrade request that cannot become a WebSocket is refused instead of left open."""
    async with raw(client) as connection:
        await send(connection, f"GET /ws/chat HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        answer = await read_all(connection)
        assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.1 400")), answer


async def test_clients_that_do_not_read_hold_no_slot(settings: Settings) -> None:
    """With one slot, clients that pipeline and never read delay nobody, and they are disconnected."""
    changed = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"send_timeout": 1.0})})
    async with gateways(changed, in_hand=1) as (make,), raw(make()) as first, raw(make()) as second:
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        for hostile in (first, second):
            await send(hostile, request * 400)
        answers = [(await make().get("/api/messages/queue/stats")).status for _ in range(5)]
        assert answers == [200] * 5
        assert unread()
        await until(lambda: not unread(), "the clients that do not read to be disconnected")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\n", b"400"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n", b"400"),
        ("GET /healthz HTTP/2.0\r\nHost: x\r\n", b"505"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + "y" * 120_000 + "\r\n", b"431"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n" + "x: y\r\n" * 12_000, b"431"),
        ("GET /healthz HTTP/1.0\r\n", b"200"),
    ],
)
async def test_request_head_is_strict(client: Client, request_head: str, status: bytes) -> None:
    """A head that HTTP/1.1 forbids, or of more than 64 KiB, is refused however it arrives."""
    async with raw(client) as connection:
        await send(connection, request_head.encode() + b"Connection: close\r\n\r\n")
        answer = await read_all(connection)
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]


async def test_pipelined_requests_are_no_large_head(client: Client) -> None:
    """Many small requests in one write are all answered."""
    async with raw(client, 1_000_000) as connection:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000 + b"\r\n\r\n"
        await send(connection, request * 200 + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await read_all(connection)).count(b"HTTP/1.1 200") == 201


def test_slot_is_released_once() -> None:
    """The slot of a request ends with its response's beginning, and leaving the context releases nothing else."""
    concurrency = ConcurrencyLimit(1)
    with concurrency.slot() as slot:
        slot.release()
        with concurrency.slot():
            slot.release()
    with concurrency.slot():
        pass
