"""`/ws/chat`: lets a client in, or tells it why not, and holds its socket."""

import uuid
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from daemons.gateway.admission import Admission
from daemons.gateway.answers import refuse_route
from daemons.gateway.connection import GOING_AWAY, TOO_MANY, TRY_LATER, UNAUTHORIZED, Connection
from daemons.gateway.credentials import SUBPROTOCOL, Credentials, query_of
from daemons.gateway.hub import Hub
from daemons.gateway.occupancy import Occupancy
from daemons.gateway.origins import Origins
from daemons.gateway.protocols import CUT
from daemons.gateway.session import Session
from daemons.gateway.standing import Standing
from daemons.gateway.texts import Texts
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.errors import TryLater, Unauthorized, Unavailable
from msgctl.tokens import Claims

log = logs.get(__name__)

PATH = "/ws/chat"
FOREIGN_PAGE = 4403
INTERNAL_ERROR = 1011


class ChatSocket:
    """The WebSocket endpoint, as an ASGI application.

    Args:
        credentials: says who comes.
        admission: what clients ask of the pipeline.
        hub: holds the sockets.
        standing: whether the gateway is about to go.
        origins: which pages may come.
        occupancy: how many sockets there may be.
        settings: bounds of a socket.
        texts: the language of its frames.
    """

    def __init__(
        self,
        credentials: Credentials,
        admission: Admission,
        hub: Hub,
        standing: Standing,
        *,
        origins: Origins,
        occupancy: Occupancy,
        settings: Settings,
        texts: Texts,
    ) -> None:
        self._credentials = credentials
        self._admission = admission
        self._hub = hub
        self._standing = standing
        self._origins = origins
        self._occupancy = occupancy
        self._settings = settings
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client; whatever goes wrong in here costs it this socket alone."""
        if scope["path"] != PATH:
            await refuse_route(404, self._texts)(scope, receive, send)
            return
        await receive()  # websocket.connect
        try:
            if claims := await self._let_in(scope, send):
                await self._hold(claims, scope, receive, send)
        except OSError:  # uvicorn's word for a client that went away meanwhile
            return
        except Exception:
            log.exception("a socket failed unexpectedly")
            with suppress(RuntimeError, OSError):  # it may be closed already
                await _close(send, INTERNAL_ERROR, "internal error")

    async def _let_in(self, scope: Scope, send: Send) -> Claims | None:
        """Whose socket this is; None where it was told that it may not stay.

        A browser shows its script no HTTP status of a refused handshake, only close code 1006. So whoever is
        refused is let in first and then told by a close code of its own. Of the offered subprotocols ours alone is
        echoed, never the one that is a token.
        """
        offered = SUBPROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})
        if self._standing.stopping:
            await _close(send, GOING_AWAY, self._texts.going_away)
        elif not self._origins.allow(scope):
            await _close(send, FOREIGN_PAGE, "this page is not in [gateway] origins")
        else:
            try:
                return await self._credentials.of_socket(scope)
            except Unauthorized:
                await _close(send, UNAUTHORIZED, "token missing, bad or expired")
            except Unavailable:
                await _close(send, TRY_LATER, "try again later")
        return None

    async def _hold(self, claims: Claims, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope["client"] else ""
        connection = self._connection(claims, scope, send)
        scope["headers"], scope["query_string"] = [], b""  # kept for as long as the socket, and not needed again
        try:
            async with self._occupancy.holding(claims, address), self._hub.holding(connection):
                log.info("WebSocket opened", socketId=connection.socket_id)
                if self._standing.stopping:  # it began to stop while this client was looked at
                    connection.close(GOING_AWAY, self._texts.going_away)
                connection.greet()
                code = await connection.serve(receive)
        except TryLater:
            await _close(send, TOO_MANY, "too many sockets")
        else:
            log.info("WebSocket closed", socketId=connection.socket_id, code=code)

    def _connection(self, claims: Claims, scope: Scope, send: Send) -> Connection:
        session = Session(f"ws-{uuid.uuid4()}", self._texts, remembered=2 * self._settings.history.replies)
        return Connection(
            session,
            claims,
            self._admission,
            send=send,
            cut=scope["extensions"][CUT],
            settings=self._settings,
            progress=query_of(scope).get("progress") == ["1"],
        )


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})
