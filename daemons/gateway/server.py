"""uvicorn, set up for a door that strangers reach, and governed by `Life` instead of by signals of its own."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from daemons._process import Life
from daemons.gateway.protocols import SocketProtocol, http_protocol
from daemons.gateway.texts import Texts
from msgctl import logs
from msgctl.config import Settings
from msgctl.errors import ConfigurationError, Unavailable

log = logs.get(__name__)

BACKLOG = 2048
KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than the common proxies keep theirs (60), so that it is never we who
close one in the moment a proxy sends on it."""
GRACE = 15
"""Seconds requests in flight get to end after SIGTERM."""


def listen(settings: Settings, fd: int | None = None) -> socket.socket:
    """The socket to accept on.

    Args:
        settings: `gateway.host` and `gateway.port`; the port may be shared (SO_REUSEPORT), so that the next
            gateway listens before this one goes.
        fd: an inherited listening socket, instead of those.

    Raises:
        Unavailable: the address is taken.
        ConfigurationError: it is none of this machine's, or `fd` is no socket.
    """
    if fd is not None:
        try:
            return socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigurationError(f"File descriptor {fd} is no socket: {error.strerror}.") from None
    host, port = settings.gateway.host, settings.gateway.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)
    except socket.gaierror as error:
        raise ConfigurationError(f"[gateway] host {host} is no address: {error.strerror}.") from None
    except OSError as error:
        raise Unavailable(
            f"Cannot listen at {host}:{port}: {error.strerror}. Is it taken? Set [gateway] host and port."
        ) from None


def address(listener: socket.socket) -> str:
    """Where clients find a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    life: Life,
    settings: Settings,
    texts: Texts,
    farewell: Callable[[], Awaitable[None]],
) -> None:
    """Serve until told to stop, then end in order.

    Args:
        app: the application.
        listener: what to accept on; closed at the end.
        life: when to stop.
        settings: the bound of a frame.
        texts: the language of what uvicorn itself refuses.
        farewell: run when nothing new is accepted any more, before what is in flight is waited for.
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
    await _first(serving, life.stopping.wait())
    log.info("Gateway stopping: sockets are told, requests in flight end")
    server.stop_accepting()
    await farewell()
    server.should_exit = True
    await _first(serving, life.hurried.wait())
    server.force_exit = True
    return await serving


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

    def stop_accepting(self) -> None:
        for server in self.servers:
            server.close()


def _configure(app: ASGIApp, settings: Settings, texts: Texts) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http_protocol(texts),
        ws=SocketProtocol,
        # Twice the bound: what is between is refused by us, with a close code that the client can read, whereas
        # uvicorn hangs up in the middle of what the client still sends.
        ws_max_size=2 * settings.gateway.max_body,
        ws_per_message_deflate=False,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )


async def _first(serving: "asyncio.Task[None]", other: Awaitable[object]) -> None:
    """Wait for something, or for the server to end before it."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
