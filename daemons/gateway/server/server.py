"""uvicorn, configured for untrusted clients and stopped by `Lifecycle`, and its listening socket."""

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
from daemons.gateway.ws.protocol import make_websocket_protocol
from daemons.runtime.lifecycle import Lifecycle
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

LISTEN_BACKLOG = 2048
MAX_HOPS = 255
"""A hop count that packets normally never have, because systems start with 64 or 128. New connections of a
neighbor host that starts with 255 are not ignored."""
ACCEPT_GRACE_S = 0.5
"""Seconds between the last new connection and the end of the listening socket. A handshake over a slow line takes
less."""
SLOW_CLIENT_CHECK_INTERVAL_S = 0.5
"""Seconds between two checks for slow clients. This needs no timer for each request."""
SHUTDOWN_TIMEOUT_S = 15
"""Seconds that requests in flight get to end after SIGTERM."""


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
    """Serve until `lifecycle.stopping`, then shut down gracefully.

    Args:
        app: the application.
        listener: the listening socket. It is closed at the end.
        lifecycle: the signals that stop this process.
        settings: `gateway.*` and `limits.*`.
        texts: the texts of errors that uvicorn itself sends.
        notify_shutdown: closes the WebSockets. Requests in flight end after it.
        inherited: whether other processes have the listening socket too and continue to use it.
    """
    # At INFO uvicorn logs the URL of each WebSocket with its ?token=, and at DEBUG websockets logs the headers.
    # Its warnings are about invalid bytes of clients, which must not fill the disk. Errors of the app never reach
    # it.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _GatewayServer(_configure(app, settings, texts))
    serving = asyncio.create_task(server.serve([listener]))
    await _wait_for_first(serving, server.listening.wait())
    if serving.done():
        return await serving
    log.info("Gateway ready", address=address(listener))
    lifecycle.notify_ready(f"listening at {address(listener)}")
    slow_client_task = asyncio.create_task(server.close_slow_connections())
    await _wait_for_first(serving, lifecycle.stopping.wait())
    log.info("Gateway stopping: closing sockets and finishing requests in flight")
    notifying = asyncio.ensure_future(notify_shutdown())
    if not inherited:
        ignore_new_connections(listener)
        await asyncio.sleep(ACCEPT_GRACE_S)
    server.stop_accepting(listener)
    await notifying
    server.should_exit = True
    await _wait_for_first(serving, lifecycle.force_stop.wait())
    server.force_exit = True
    try:
        return await serving
    finally:
        await cancel(slow_client_task)


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
        listener.close()  # while one descriptor is open, the kernel completes handshakes that nobody accepts

    async def close_slow_connections(self) -> None:
        """Close connections whose clients send a request too slowly, until cancelled."""
        while True:
            await asyncio.sleep(SLOW_CLIENT_CHECK_INTERVAL_S)
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol):
                    connection.close_if_late()


def _configure(app: ASGIApp, settings: Settings, texts: Texts) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=make_http_protocol(settings, texts),
        ws=make_websocket_protocol(settings),
        # Twice the limit: the endpoint refuses frames in between with a close code that the client can read.
        # uvicorn would close the connection while the client still sends.
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
    """Wait for an awaitable, or for the server if it ends first."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def listen(settings: Settings, fd: int | None = None) -> socket.socket:
    """Create the listening socket.

    Args:
        settings: `gateway.host` and `gateway.port`. The port is shared (SO_REUSEPORT), so that the next gateway
            can listen before this one ends.
        fd: an inherited listening socket instead of these.

    Raises:
        Unavailable: the address is taken.
        ConfigurationError: the address is not of this machine, or `fd` is not a socket.
    """
    if fd is not None:
        try:
            return socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigurationError(f"File descriptor {fd} is not a socket: {error.strerror}.") from None
    host, port = settings.gateway.host, settings.gateway.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG, reuse_port=True)
    except socket.gaierror as error:
        raise ConfigurationError(f"[gateway] host {host} is not a valid address: {error.strerror}.") from None
    except OSError as error:
        raise Unavailable(
            f"Cannot listen at {host}:{port}: {error.strerror}. Is it taken? Set [gateway] host and port."
        ) from None


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ignore_new_connections(listener: socket.socket) -> bool:
    """Let the kernel ignore new connections. Handshakes in progress still complete and can be accepted.

    Closing a listening socket resets the connections in its queue, even if another process listens on the same
    port. A client that is ignored tries again a second later, and then the kernel gives it to the other process.
    Unlike a packet filter, this needs no privilege.

    Args:
        listener: a socket of this process only, because the option applies to all processes that share it.

    Returns:
        False if the system has no such option. Then nothing happens.
    """
    return set_min_hops(listener, MAX_HOPS)
