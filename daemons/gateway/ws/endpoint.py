"""`/ws/chat`: lets a client in, or tells it why not, and holds its socket."""

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
"""The scope extension that holds `WebSocketProtocol.force_close`."""
SEND_BUFFER_BYTES = 32_768
"""Bytes the kernel may keep for a client that does not read, twice that by its own count. Left to itself it keeps
4 MB, and that for each of a thousand such clients."""
TCP_USER_TIMEOUT_S = 9.0
"""Seconds after which a client is gone that acknowledges nothing of what it was sent: its cable was pulled."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds a socket that was cut gets to read what it was sent, before it is reset."""


class ChatEndpoint:
    """The WebSocket endpoint, as an ASGI application.

    Args:
        authenticator: says who comes.
        service: what clients ask of the pipeline.
        hub: holds the sockets.
        readiness: whether the gateway is about to go.
        cors: which pages may come.
        connection_limiter: how many sockets there may be.
        settings: bounds of a socket.
        texts: the language of its frames.
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
        """Serve one client; whatever goes wrong in here costs it this socket alone."""
        if scope["path"] != SOCKET_PATH:
            await routing_error_response(404, self._texts)(scope, receive, send)
            return
        await receive()  # websocket.connect
        try:
            if claims := await self._authenticate(scope, send):
                await self._serve(claims, scope, receive, send)
        except OSError:  # uvicorn's word for a client that went away meanwhile
            return
        except Exception:
            log.exception("a socket failed unexpectedly")
            with suppress(RuntimeError, OSError):  # it may be closed already
                await _close(send, CLOSE_INTERNAL_ERROR, "internal error")

    async def _authenticate(self, scope: Scope, send: Send) -> Claims | None:
        """Whose socket this is; None where it was told that it may not stay.

        A browser shows its script no HTTP status of a refused handshake, only close code 1006. So whoever is
        refused is let in first and then told by a close code of its own. Of the offered subprotocols ours alone is
        echoed, never the one that is a token.
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
        scope["headers"], scope["query_string"] = [], b""  # kept for as long as the socket, and not needed again
        try:
            async with self._connection_limiter.hold(claims, address), self._hub.hold(connection):
                log.info("WebSocket opened", socketId=connection.socket_id)
                if self._readiness.stopping:  # it began to stop while this client was looked at
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
    """A WebSocket that can be closed although its client does not read, and weighs little while it idles.

    Takes what uvicorn's does.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = cast("Any", SlimQueue[Any]())
        self.writable = cast("Any", SlimEvent(is_open=True))

    def handle_connect(self, event: Request) -> None:
        """Offer `cut` to the application, and keep no second copy of the headers, the token among them."""
        super().handle_connect(event)
        event.headers.clear()  # what the application shall see of them is in the scope
        if self.response.status_code == 101:
            _limit_socket_buffers(self.transport)
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[FORCE_CLOSE_EXTENSION] = self.force_close

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Let go of what the application alone has asked for: a cycle, which would outlive the socket for long."""
        super().on_task_complete(task)
        self.scope["extensions"] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """End the parser, which holds on to what it parses for: another cycle."""
        super().connection_lost(exc)
        self.conn.parser.close()

    def force_close(self, code: int, reason: str) -> None:
        """Close at once.

        ASGI's own `websocket.close` waits until the client has read what comes before, as a slow one never does.

        Args:
            code: the close code; it arrives if the client reads again within `LINGER`.
            reason: the same in words, 123 bytes at most.
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
        """Send for the application.

        Raises:
            ClientDisconnected: the socket is closed; also where uvicorn itself closed it a moment ago (bytes that
                are no frame, a ping without a pong), which it would call a fault of the application.
        """
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.accept":
            self.response.headers.clear()  # sent, and never looked at again

    def shutdown(self) -> None:
        """End with the server, but not later because of a client that does not read."""
        super().shutdown()
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


def _limit_socket_buffers(transport: asyncio.Transport) -> None:
    """Let the kernel keep little for this client, and wait for it no longer than that is worth."""
    client: socket.socket | None = transport.get_extra_info("socket")
    if client is None or client.family not in (socket.AF_INET, socket.AF_INET6):
        return
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT_S * 1000))
