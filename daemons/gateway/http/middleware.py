"""Everything before the HTTP routes: CORS, the limit of concurrent requests, common headers, and errors.

A WebSocket goes straight to its own application, because each layer in between would stay in memory with it.
"""

from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from types import TracebackType

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemons.gateway.http.responses import error_response, routing_error_response
from daemons.gateway.readiness import Readiness
from daemons.gateway.translations import Texts
from msgctl.config.settings import Settings
from msgctl.domain.errors import MsgctlError, Unavailable
from msgctl.observability import logs

log = logs.get_logger(__name__)

PROBE_PATHS = frozenset({"/healthz", "/readyz"})
"""What is answered however much there is to do."""
QUOTA_STATE_KEY = "quota"
"""The key in a request's `state` that holds what its user has left."""
OVERLOAD_RETRY_AFTER_S = 1.0
"""Seconds after which there is likely less in hand."""

ANY_ORIGIN = b"*"
Headers = list[tuple[bytes, bytes]]

EXPOSED_HEADERS = (b"access-control-expose-headers", b"retry-after, ratelimit, ratelimit-policy")
PREFLIGHT_HEADERS: Headers = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
    (b"access-control-max-age", b"600"),
]


class ConcurrencyLimit:
    """Counts what is worked on, as a context around each piece.

    Args:
        limit: pieces at a time; 0: no bound.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0

    def __enter__(self) -> None:
        """Take one more.

        Raises:
            Unavailable: there is as much in hand as there may be.
        """
        if self._limit and self._in_flight >= self._limit:
            raise Unavailable(
                "The gateway has as much in hand as it can serve in time.", retry_after=OVERLOAD_RETRY_AFTER_S
            )
        self._in_flight += 1

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """One less."""
        self._in_flight -= 1


class CorsPolicy:
    """The list.

    Args:
        settings: `gateway.origins`.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(origin.encode() for origin in settings.gateway.origins)

    def allows(self, scope: Scope) -> bool:
        """Whether a request comes from a page that may use this gateway, or from none at all."""
        given, hosts = _header_values(scope["headers"], b"origin"), _header_values(scope["headers"], b"host")
        if not given:
            return True
        if len(given) != 1 or len(hosts) > 1:
            return False
        return self._is_listed(given[0]) or (bool(hosts) and _authority(given[0]) == hosts[0].lower())

    def headers(self, scope: Scope) -> Headers:
        """What tells a browser that a listed page may read the answer; for others nothing."""
        given = _header_values(scope["headers"], b"origin")
        if len(given) != 1 or not self._allowed:
            return []
        vary = (b"vary", b"origin")
        return (
            [vary, (b"access-control-allow-origin", given[0]), EXPOSED_HEADERS]
            if self._is_listed(given[0])
            else [vary]
        )

    def preflight(self, scope: Scope) -> Headers | None:
        """The answer to a browser's question before a request of a listed page; None if this is none."""
        if scope["method"] != "OPTIONS" or not _header_values(scope["headers"], b"access-control-request-method"):
            return None
        headers = self.headers(scope)
        return [*headers, *PREFLIGHT_HEADERS] if EXPOSED_HEADERS in headers else None

    def _is_listed(self, origin: bytes) -> bool:
        return origin in self._allowed or ANY_ORIGIN in self._allowed


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


def _header_values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _authority(origin: bytes) -> bytes:
    """Host and port; behind a proxy that ends TLS the gateway sees another scheme than the browser."""
    return origin.partition(b"://")[2].lower()


class ErrorMiddleware:
    """Turns whatever an HTTP route raises into the one shape of a refusal.

    Args:
        app: the router.
        texts: the language of the refusals.
    """

    def __init__(self, app: ASGIApp, texts: Texts) -> None:
        self._app = app
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["app"] = self  # asks the router to raise its refusals instead of answering in plain text
        try:
            await self._app(scope, receive, send)
        except MsgctlError as error:
            if error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("a request failed", code=error.code)
            response = error_response(error, self._texts)
        except HTTPException as error:
            allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            response = routing_error_response(error.status_code, self._texts, {"allow": allow} if allow else None)
        except Exception:
            log.exception("a request failed unexpectedly")
            response = error_response(MsgctlError(""), self._texts)
        else:
            return
        await response(scope, receive, send)
