"""`/ws/chat`: lets a client in, or tells it why not, and holds its socket."""

import uuid
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from daemons.gateway.auth.authenticator import SUBPROTOCOL, Authenticator, parse_query_string
from daemons.gateway.http.cors import CorsPolicy
from daemons.gateway.http.responses import routing_error_response
from daemons.gateway.limits.connection_limit import ConnectionLimiter
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
from daemons.gateway.ws.protocol import FORCE_CLOSE_EXTENSION
from daemons.gateway.ws.session import ChatSession
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import TryLater, Unauthorized, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

SOCKET_PATH = "/ws/chat"
CLOSE_FORBIDDEN_ORIGIN = 4403
CLOSE_INTERNAL_ERROR = 1011


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
