"""What comes before every HTTP route: browsers' questions, the bound on the work, headers of all answers.

A socket goes straight to its own application: each one in between would be kept for as long as the socket is open.
"""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemons.gateway.answers import refuse
from daemons.gateway.origins import Headers, Origins
from daemons.gateway.standing import Standing
from daemons.gateway.texts import Texts
from daemons.gateway.workload import Workload
from msgctl.errors import Unavailable

PROBES = frozenset({"/healthz", "/readyz"})
"""What is answered however much there is to do."""
QUOTA = "quota"
"""The key in a request's `state` that holds what its user has left."""


class Door:
    """The outermost ASGI application.

    Args:
        app: answers the requests that are let through; it raises nothing.
        sockets: serves WebSockets, which have bounds of their own; it raises nothing either.
        origins: which pages may come.
        workload: how much may be in hand.
        standing: whether the gateway is about to go.
        texts: the language of a refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        sockets: ASGIApp,
        *,
        origins: Origins,
        workload: Workload,
        standing: Standing,
        texts: Texts,
    ) -> None:
        self._app = app
        self._sockets = sockets
        self._origins = origins
        self._workload = workload
        self._standing = standing
        self._texts = texts

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let one request in, or a socket."""
        serve = self._sockets if scope["type"] == "websocket" else self._answer
        return serve(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if (allowed := self._origins.preflight(scope)) is not None:
            await send({"type": "http.response.start", "status": 204, "headers": allowed})
            await send({"type": "http.response.body"})
            return
        dressing = _Dressing(scope, self._origins.headers(scope), self._standing, send)
        try:
            with self._workload:
                await self._app(scope, receive, dressing.send)
        except Unavailable as error:
            await refuse(error, self._texts)(scope, receive, dressing.send)


class _Dressing:
    """Adds to an answer what every answer of its request must have."""

    def __init__(self, scope: Scope, headers: Headers, standing: Standing, send: Send) -> None:
        self._scope = scope
        self._headers = headers
        self._standing = standing
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(self._headers)
            if quota := self._scope["state"].get(QUOTA):
                headers += quota.headers()
            if self._standing.stopping:  # the client's next request shall go to another gateway
                headers.append((b"connection", b"close"))
            if headers:
                message = {**message, "headers": [*message["headers"], *headers]}
        await self._send(message)
