"""The endpoint `/ws/chat`, which accepts or refuses WebSockets."""

import uuid
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from daemons.gateway.auth.authenticator import Authenticator, choose_subprotocol, parse_query_string
from daemons.gateway.http.middleware import CorsPolicy
from daemons.gateway.http.responses import routing_error_response
from daemons.gateway.limits import ConnectionLimiter
from daemons.gateway.readiness import Readiness
from daemons.gateway.service import GatewayService
from daemons.gateway.translations import Texts
from daemons.gateway.ws.close_codes import (
    CLOSE_FORBIDDEN_ORIGIN,
    CLOSE_GOING_AWAY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_RATE_LIMITED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHORIZED,
)
from daemons.gateway.ws.connection import WebSocketConnection
from daemons.gateway.ws.frames import FrameLimit
from daemons.gateway.ws.hub import Hub
from daemons.gateway.ws.protocol import FORCE_CLOSE_EXTENSION
from daemons.gateway.ws.session import ChatSession
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import TryLater, Unauthorized, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

SOCKET_PATH = "/ws/chat"


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
        socket is accepted first and then closed with a code that tells the reason. See
        `choose_subprotocol` for the one that is echoed.
        """
        await send({"type": "websocket.accept", "subprotocol": choose_subprotocol(scope["subprotocols"])})
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
        session = ChatSession(
            f"ws-{uuid.uuid4()}",
            self._texts,
            remembered=2 * self._settings.history.replies,
            frame_limit=FrameLimit(
                self._settings.gateway.max_reply_frame,
                self._settings.reply.overflow,
                self._settings.reply.closing,
            ),
        )
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
