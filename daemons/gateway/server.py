"""uvicorn, set up for a door that strangers reach, and governed by `Life` instead of by signals of its own."""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from daemons._process import Life
from daemons.gateway.http_protocol import HttpProtocol, http_protocol
from daemons.gateway.listener import BACKLOG, address, let_nobody_new_in
from daemons.gateway.protocols import SocketProtocol
from daemons.gateway.texts import Texts
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.tasks import cancel

log = logs.get(__name__)

QUIET = 0.5
"""Seconds between the last connection that is let in and the end of the listening socket: a handshake over a slow
line takes less."""
SWEEP = 0.5
"""Seconds between two looks for slow clients: no timer for each request."""
GRACE = 15
"""Seconds requests in flight get to end after SIGTERM."""


async def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    life: Life,
    settings: Settings,
    texts: Texts,
    farewell: Callable[[], Awaitable[None]],
    inherited: bool,
) -> None:
    """Serve until told to stop, then end in order.

    Args:
        app: the application.
        listener: what to accept on; closed at the end.
        life: when to stop.
        settings: the bound of a frame.
        texts: the language of what uvicorn itself refuses.
        farewell: tells the sockets; what is in flight is waited for after it.
        inherited: whether others hold the listening socket too and go on with it.
    """
    # At INFO uvicorn writes each WebSocket's URL with its ?token=; at DEBUG websockets writes the headers. What it
    # warns of is a client's bad bytes, which must not fill our disk; faults of ours never get as far as uvicorn.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _Server(_configure(app, settings, texts))
    serving = asyncio.create_task(server.serve([listener]))
    await _first(serving, server.listening.wait())
    if serving.done():
        return await serving
    log.info("Gateway ready", address=address(listener))
    life.ready(f"listening at {address(listener)}")
    impatience = asyncio.create_task(server.hang_up_on_the_slow())
    await _first(serving, life.stopping.wait())
    log.info("Gateway stopping: sockets are told, requests in flight end")
    telling = asyncio.ensure_future(farewell())
    if not inherited:
        let_nobody_new_in(listener)
        await asyncio.sleep(QUIET)
    server.stop_accepting(listener)
    await telling
    server.should_exit = True
    await _first(serving, life.hurried.wait())
    server.force_exit = True
    try:
        return await serving
    finally:
        await cancel(impatience)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `Life`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def stop_accepting(self, listener: socket.socket) -> None:
        for server in self.servers:
            server.close()
        listener.close()  # as long as one descriptor is open, the kernel lets people in whom nobody receives

    async def hang_up_on_the_slow(self) -> None:
        """End connections whose client takes too long to send what it has begun, for ever."""
        while True:
            await asyncio.sleep(SWEEP)
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol):
                    connection.hang_up_if_late()


def _configure(app: ASGIApp, settings: Settings, texts: Texts) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http_protocol(settings, texts),
        ws=SocketProtocol,
        # Twice the bound: what is between is refused by us, with a close code that the client can read, whereas
        # uvicorn hangs up in the middle of what the client still sends.
        ws_max_size=2 * settings.gateway.max_body,
        ws_per_message_deflate=False,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.gateway.trusted_proxies),
        forwarded_allow_ips=settings.gateway.trusted_proxies,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(settings.limits.keep_alive),
        timeout_graceful_shutdown=GRACE,
    )


async def _first(serving: "asyncio.Task[None]", other: Awaitable[object]) -> None:
    """Wait for something, or for the server to end before it."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
