"""The endpoint `/ws/chat`, which accepts or refuses WebSockets, and the uvicorn protocol beneath it."""

import asyncio
import socket
import uuid
from contextlib import suppress
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from daemons.gateway.auth.authenticator import SUBPROTOCOL, Authenticator, parse_query_string
from daemons.gateway.http.middleware import CorsPolicy
from daemons.gateway.http.responses import routing_error_response
from daemons.gateway.limits import ConnectionLimiter
from daemons.gateway.readiness import Readiness
from daemons.gateway.service import GatewayService
from daemons.gateway.translations import Texts
from daemons.gateway.ws.connection import (
    CLOSE_GOING_AWAY,
    CLOSE_RATE_LIMITED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHORIZED,
    WebSocketConnection,
)
from daemons.gateway.ws.hub import Hub
from daemons.gateway.ws.send_queue import SlimEvent, SlimQueue
from daemons.gateway.ws.session import ChatSession
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import TryLater, Unauthorized, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

SOCKET_PATH = "/ws/chat"
CLOSE_FORBIDDEN_ORIGIN = 4403
CLOSE_INTERNAL_ERROR = 1011
FORCE_CLOSE_EXTENSION = "msgctl.cut"
"""The scope extension that contains `WebSocketProtocol.force_close`."""
SEND_BUFFER_BYTES = 32_768
"""The send buffer in the kernel for a client that does not read, in bytes. The kernel doubles it. Its default is
up to 4 MB for each of such clients."""
TCP_USER_TIMEOUT_S = 9.0
"""Seconds without a TCP acknowledgment after which a client counts as disconnected."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds a client gets to read the remaining bytes after `force_close` before its connection is reset."""


class ChatEndpoint:
    """The WebSocket endpoint, as an ASGI application.

    Args:
        authenticator: identifies the user.
        service: serves the requests of clients.
        hub: keeps the open sockets.
        readiness: whether the gateway is stopping.
        cors: the pages that may connect.
        connection_limiter: limits the open sockets of users and addresses.
        settings: the limits of a socket.
        texts: the texts of frames.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        service: GatewayService,
        hub: Hub,
        readiness: Readiness,
        *,
        cors: CorsPolicy,
        connection_limiter: ConnectionLimiter,
        settings: Settings,
        texts: Texts,
    ) -> None:
        self._authenticator = authenticator
        self._service = service
        self._hub = hub
        self._readiness = readiness
        self._cors = cors
        self._connection_limiter = connection_limiter
        self._settings = settings
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client. An error ends only its socket."""
        if scope["path"] != SOCKET_PATH:
            await routing_error_response(404, self._texts)(scope, receive, send)
            return
        await receive()  # websocket.connect
        try:
            if claims := await self._authenticate(scope, send):
                await self._serve(claims, scope, receive, send)
        except OSError:  # uvicorn raises this if the client has disconnected
            return
        except Exception:
            log.exception("WebSocket failed unexpectedly")
            with suppress(RuntimeError, OSError):  # it may be closed already
                await _close(send, CLOSE_INTERNAL_ERROR, "internal error")

    async def _authenticate(self, scope: Scope, send: Send) -> Claims | None:
        """Return the claims of a socket, or None if it was refused and closed.

        If a handshake is refused, a browser shows its script only close code 1006 and no HTTP status. So the
        socket is accepted first and then closed with a code that tells the reason. Of the offered subprotocols,
        only `SUBPROTOCOL` is echoed, never the one with the token.
        """
        offered = SUBPROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})
        if self._readiness.stopping:
            await _close(send, CLOSE_GOING_AWAY, self._texts.going_away)
        elif not self._cors.allows(scope):
            await _close(send, CLOSE_FORBIDDEN_ORIGIN, "this page is not in [gateway] origins")
        else:
            try:
                return await self._authenticator.authenticate_socket(scope)
            except Unauthorized:
                await _close(send, CLOSE_UNAUTHORIZED, "token missing, bad or expired")
            except Unavailable:
                await _close(send, CLOSE_TRY_LATER, "try again later")
        return None

    async def _serve(self, claims: Claims, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope["client"] else ""
        connection = self._connection(claims, scope, send)
        scope["headers"], scope["query_string"] = (
            [],
            b"",
        )  # not needed again, and the scope lives as long as the socket
        try:
            async with self._connection_limiter.hold(claims, address), self._hub.hold(connection):
                log.info("WebSocket opened", socketId=connection.socket_id)
                if self._readiness.stopping:  # the gateway began to stop during the authentication
                    connection.close(CLOSE_GOING_AWAY, self._texts.going_away)
                connection.send_connected()
                code = await connection.serve(receive)
        except TryLater:
            await _close(send, CLOSE_RATE_LIMITED, "too many sockets")
        else:
            log.info("WebSocket closed", socketId=connection.socket_id, code=code)

    def _connection(self, claims: Claims, scope: Scope, send: Send) -> WebSocketConnection:
        session = ChatSession(f"ws-{uuid.uuid4()}", self._texts, remembered=2 * self._settings.history.replies)
        return WebSocketConnection(
            session,
            claims,
            self._service,
            send=send,
            force_close=scope["extensions"][FORCE_CLOSE_EXTENSION],
            settings=self._settings,
            progress=parse_query_string(scope).get("progress") == ["1"],
        )


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that can be closed even if its client does not read, and that uses little memory while idle.

    It extends `websockets-sansio` of uvicorn: the alternative `websockets` uses a deprecated API and warns of it,
    and `wsproto` is pure Python and not a dependency. It stops reading while the application is behind, and
    answers pings.

    The constructor takes the arguments of its base class.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = cast("Any", SlimQueue[Any]())
        self.writable = cast("Any", SlimEvent(is_open=True))

    def handle_connect(self, event: Request) -> None:
        """Offer `force_close` to the application. Delete the copied headers, which contain the token."""
        super().handle_connect(event)
        event.headers.clear()  # the application finds them in the scope
        if self.response.status_code == 101:
            _limit_socket_buffers(self.transport)
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[FORCE_CLOSE_EXTENSION] = self.force_close

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Remove `force_close` from the scope: a reference cycle, which would stay in memory after the socket."""
        super().on_task_complete(task)
        self.scope["extensions"] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the parser, which is part of another reference cycle."""
        super().connection_lost(exc)
        self.conn.parser.close()

    def force_close(self, code: int, reason: str) -> None:
        """Close the socket immediately.

        `websocket.close` of ASGI waits until the client has read everything before it, which a slow client never
        does.

        Args:
            code: the close code. It arrives if the client reads again within `CLOSE_TIMEOUT_S`.
            reason: the reason in words, up to 123 bytes.
        """
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event of the application.

        Raises:
            ClientDisconnected: the socket is closed. This includes a close by uvicorn itself (invalid frames, a
            ping
                without a pong), for which uvicorn would raise a RuntimeError.
        """
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.accept":
            self.response.headers.clear()  # sent, and not needed again

    def shutdown(self) -> None:
        """Close the socket with the server, even if its client does not read."""
        super().shutdown()
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


def _limit_socket_buffers(transport: asyncio.Transport) -> None:
    """Limit the send buffer in the kernel and the time without acknowledgments."""
    client: socket.socket | None = transport.get_extra_info("socket")
    if client is None or client.family not in (socket.AF_INET, socket.AF_INET6):
        return
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT_S * 1000))
