"""What comes before every HTTP route: browsers' questions, the bound on the work, headers of all answers.

A socket goes straight to its own application: each one in between would be kept for as long as the socket is open.
"""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemons.gateway.http.cors import CorsPolicy, Headers
from daemons.gateway.http.responses import error_response
from daemons.gateway.limits.concurrency_limit import ConcurrencyLimit
from daemons.gateway.readiness import Readiness
from daemons.gateway.translations import Texts
from msgctl.domain.errors import Unavailable

PROBE_PATHS = frozenset({"/healthz", "/readyz"})
"""What is answered however much there is to do."""
QUOTA_STATE_KEY = "quota"
"""The key in a request's `state` that holds what its user has left."""


class EdgeMiddleware:
    """The outermost ASGI application.

    Args:
        app: answers the requests that are let through; it raises nothing.
        sockets: serves WebSockets, which have bounds of their own; it raises nothing either.
        cors: which pages may come.
        concurrency: how much may be in hand.
        readiness: whether the gateway is about to go.
        texts: the language of a refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        sockets: ASGIApp,
        *,
        cors: CorsPolicy,
        concurrency: ConcurrencyLimit,
        readiness: Readiness,
        texts: Texts,
    ) -> None:
        self._app = app
        self._sockets = sockets
        self._cors = cors
        self._concurrency = concurrency
        self._readiness = readiness
        self._texts = texts

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let one request in, or a socket."""
        serve = self._sockets if scope["type"] == "websocket" else self._answer
        return serve(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBE_PATHS:
            await self._app(scope, receive, send)
            return
        if (allowed := self._cors.preflight(scope)) is not None:
            await send({"type": "http.response.start", "status": 204, "headers": allowed})
            await send({"type": "http.response.body"})
            return
        dressing = _ResponseHeaders(scope, self._cors.headers(scope), self._readiness, send)
        try:
            with self._concurrency:
                await self._app(scope, receive, dressing.send)
        except Unavailable as error:
            await error_response(error, self._texts)(scope, receive, dressing.send)


class _ResponseHeaders:
    """Adds to an answer what every answer of its request must have."""

    def __init__(self, scope: Scope, headers: Headers, readiness: Readiness, send: Send) -> None:
        self._scope = scope
        self._headers = headers
        self._readiness = readiness
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(self._headers)
            if quota := self._scope["state"].get(QUOTA_STATE_KEY):
                headers += quota.headers()
            if self._readiness.stopping:  # the client's next request shall go to another gateway
                headers.append((b"connection", b"close"))
            if headers:
                message = {**message, "headers": [*message["headers"], *headers]}
        await self._send(message)
