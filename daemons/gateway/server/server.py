"""uvicorn, configured for clients that nobody trusts, and stopped by `Lifecycle` instead of its own signals."""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from daemons.gateway.server.http_protocol import HttpProtocol, make_http_protocol, set_min_hops
from daemons.gateway.translations import Texts
from daemons.gateway.ws.endpoint import WebSocketProtocol
from daemons.runtime.lifecycle import Lifecycle
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

LISTEN_BACKLOG = 2048
MAX_HOPS = 255
"""Hops that nobody who comes the usual way has left: systems begin with 64 or 128. From one that begins with 255
and is the next host, newcomers are not ignored."""
ACCEPT_GRACE_S = 0.5
"""Seconds between the last connection that is let in and the end of the listening socket: a handshake over a slow
line takes less."""
SLOW_CLIENT_CHECK_INTERVAL_S = 0.5
"""Seconds between two looks for slow clients: no timer for each request."""
SHUTDOWN_TIMEOUT_S = 15
"""Seconds requests in flight get to end after SIGTERM."""


async def run_server(
    app: ASGIApp,
    listener: socket.socket,
    *,
    lifecycle: Lifecycle,
    settings: Settings,
    texts: Texts,
    notify_shutdown: Callable[[], Awaitable[None]],
    inherited: bool,
) -> None:
    """Serve until told to stop, then end in order.

    Args:
        app: the application.
        listener: what to accept on; closed at the end.
        lifecycle: when to stop.
        settings: the bound of a frame.
        texts: the language of what uvicorn itself refuses.
        notify_shutdown: tells the sockets; what is in flight is waited for after it.
        inherited: whether others hold the listening socket too and go on with it.
    """
    # At INFO uvicorn writes each WebSocket's URL with its ?token=; at DEBUG websockets writes the headers. What it
    # warns of is a client's bad bytes, which must not fill our disk; faults of ours never get as far as uvicorn.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _GatewayServer(_configure(app, settings, texts))
    serving = asyncio.create_task(server.serve([listener]))
    await _wait_for_first(serving, server.listening.wait())
    if serving.done():
        return await serving
    log.info("Gateway ready", address=address(listener))
    lifecycle.notify_ready(f"listening at {address(listener)}")
    impatience = asyncio.create_task(server.close_slow_connections())
    await _wait_for_first(serving, lifecycle.stopping.wait())
    log.info("Gateway stopping: sockets are told, requests in flight end")
    telling = asyncio.ensure_future(notify_shutdown())
    if not inherited:
        ignore_new_connections(listener)
        await asyncio.sleep(ACCEPT_GRACE_S)
    server.stop_accepting(listener)
    await telling
    server.should_exit = True
    await _wait_for_first(serving, lifecycle.force_stop.wait())
    server.force_exit = True
    try:
        return await serving
    finally:
        await cancel(impatience)


class _GatewayServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `Lifecycle`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def stop_accepting(self, listener: socket.socket) -> None:
        for server in self.servers:
            server.close()
        listener.close()  # as long as one descriptor is open, the kernel lets people in whom nobody receives

    async def close_slow_connections(self) -> None:
        """End connections whose client takes too long to send what it has begun, for ever."""
        while True:
            await asyncio.sleep(SLOW_CLIENT_CHECK_INTERVAL_S)
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol):
                    connection.close_if_late()


def _configure(app: ASGIApp, settings: Settings, texts: Texts) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=make_http_protocol(settings, texts),
        ws=WebSocketProtocol,
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
        backlog=LISTEN_BACKLOG,
        timeout_keep_alive=math.ceil(settings.limits.keep_alive),
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )


async def _wait_for_first(serving: "asyncio.Task[None]", other: Awaitable[object]) -> None:
    """Wait for something, or for the server to end before it."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


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
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG, reuse_port=True)
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


def ignore_new_connections(listener: socket.socket) -> bool:
    """Let the kernel ignore new connections, while those under way are still made and can be accepted.

    Closing a listening socket resets whoever waits in its queue, even though another process listens on the same
    port. A client that is ignored for a moment asks again a second later, and then the kernel has only the other
    process to give it to. It needs no privilege, unlike a packet filter. Where the system has no such option,
    nothing happens and it says False.

    Args:
        listener: a socket of this process alone: it holds for everyone who shares it.
    """
    return set_min_hops(listener, MAX_HOPS)
