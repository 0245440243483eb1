"""uvicorn's WebSocket protocol, and what it lacks without us."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from daemons.gateway.server import server
from daemons.gateway.translations import select_texts
from daemons.gateway.ws.connection import WebSocketConnection
from daemons.gateway.ws.protocol import FORCE_CLOSE_EXTENSION, WebSocketProtocol
from daemons.gateway.ws.send_queue import SendQueue
from msgctl.config.settings import Settings
from tests.support.gateway_clients import Client, ReportedLife
from tools.support.daemons import PATIENCE, until

Serve = Callable[[Scope, Send], Awaitable[Any]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[tuple[ClientConnection, "asyncio.Future[Any]"]]:
    """A client's socket, and what `serve` returned or raised for it once it had been accepted."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            outcome.set_result(await serve(scope, send))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.set_exception(error)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with listening(app) as port, connect(f"ws://127.0.0.1:{port}/", max_queue=1) as client:
        yield client, outcome


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """The port of an application that is served as the gateway is."""
    settings, life = Settings(), ReportedLife()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    async def farewell() -> None:
        """Nobody is left to be told."""

    running = asyncio.create_task(
        server.run_server(
            app,
            listener,
            lifecycle=life,
            settings=settings,
            texts=select_texts(settings),
            notify_shutdown=farewell,
            inherited=False,
        )
    )
    await asyncio.wait_for(life.status, PATIENCE)
    try:
        yield port
    finally:
        life.stopping.set()
        await asyncio.wait_for(running, PATIENCE)


async def test_send_after_close_raises_client_disconnected() -> None:
    """A frame for a socket that was closed under the application's hands is an OSError, not a fault of its own."""

    async def serve(scope: Scope, send: Send) -> None:
        scope["extensions"][FORCE_CLOSE_EXTENSION](4408, "slow consumer")
        await send({"type": "websocket.send", "text": "too late"})

    async with serving(serve) as (client, outcome):
        with pytest.raises(OSError, match=r"^$"):
            await asyncio.wait_for(outcome, PATIENCE)
        await asyncio.wait_for(client.wait_closed(), PATIENCE)
        assert client.close_code == 4408


async def test_closed_socket_is_freed(client: Client) -> None:
    """Neither side's end leaves a cycle that would wait for the collector, which seldom looks at what is old."""
    gc.collect()
    gc.disable()
    try:
        async with client.socket() as chat:
            await chat.hear("connected")
            assert len(sockets()) == 3
        async with client.socket("token=x") as chat:
            await chat.closed()
        await until(lambda: not sockets(), "the sockets to be gone")
    finally:
        gc.enable()


def sockets() -> list[object]:
    """The sockets that take memory. `isinstance` would raise for a weak proxy whose object has gone."""
    return [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), (WebSocketProtocol, WebSocketConnection, SendQueue))
    ]


async def test_error_of_the_application_is_raised() -> None:
    """What is no ASGI message is told as such."""

    async def serve(_: Scope, send: Send) -> None:
        await send({"type": "websocket.nonsense"})

    async with serving(serve) as (_, outcome):
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(outcome, PATIENCE)


async def test_force_close_reaches_a_client_that_did_not_read() -> None:
    """A socket full to the brim can be closed, once, with a code that its client finds when it reads on."""

    async def serve(scope: Scope, send: Send) -> bool:
        try:
            while True:
                async with asyncio.timeout(1):
                    await send({"type": "websocket.send", "text": "x" * 100_000})
        except TimeoutError:
            scope["extensions"][FORCE_CLOSE_EXTENSION](4408, "slow consumer")
            scope["extensions"][FORCE_CLOSE_EXTENSION](1001, "and again")
        return True

    async with serving(serve) as (client, outcome):
        assert await asyncio.wait_for(outcome, PATIENCE)
        with suppress(ConnectionClosed):
            async for _ in client:
                pass
        assert client.close_code == 4408
