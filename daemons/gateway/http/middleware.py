"""Everything before the HTTP routes: CORS, the limit of concurrent requests, common headers, and errors.

A WebSocket goes straight to its own application, because each layer in between would stay in memory with it.
"""

from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Self

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
"""The paths that are exempt from the concurrency limit."""
QUOTA_STATE_KEY = "quota"
"""The key in the `state` of a request for the `Quota` of its user."""
OVERLOAD_RETRY_AFTER_S = 1.0
"""Seconds after which the gateway probably has capacity again."""

ANY_ORIGIN = b"*"
Headers = list[tuple[bytes, bytes]]

EXPOSED_HEADERS = (b"access-control-expose-headers", b"retry-after, ratelimit, ratelimit-policy")
PREFLIGHT_HEADERS: Headers = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
    (b"access-control-max-age", b"600"),
]


class ConcurrencyLimit:
    """Limits the requests in flight, so that an overload is refused immediately instead of served late.

    Use it as a context manager around each frame of a socket, and `slot` for an HTTP request.

    Args:
        limit: requests at a time. 0 means no limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0

    def slot(self) -> "RequestSlot":
        """Return a context manager around one request that can be left early."""
        return RequestSlot(self)

    def acquire(self) -> None:
        """Count one more request.

        Raises:
            Unavailable: the limit is reached.
        """
        if self._limit and self._in_flight >= self._limit:
            raise Unavailable(
                "The gateway has too many requests in flight. Try again later.", retry_after=OVERLOAD_RETRY_AFTER_S
            )
        self._in_flight += 1

    def release(self) -> None:
        """Count one request less."""
        self._in_flight -= 1

    __enter__ = acquire

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Release the request."""
        self.release()


class RequestSlot:
    """One request in flight until its response begins, so that a client that does not read holds no slot.

    Args:
        concurrency: counts the requests.
    """

    def __init__(self, concurrency: ConcurrencyLimit) -> None:
        self._concurrency = concurrency
        self._held = False

    def __enter__(self) -> Self:
        """Count the request.

        Raises:
            Unavailable: the limit is reached.
        """
        self._concurrency.acquire()
        self._held = True
        return self

    def release(self) -> None:
        """Count the request no longer. Only the first call has an effect."""
        if self._held:
            self._held = False
            self._concurrency.release()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Release the slot."""
        self.release()


class CorsPolicy:
    """The web pages that may use this gateway: an exact list, and pages from the origin of the gateway itself.

    A request without an `Origin` header does not come from a browser and is not checked. The token is never in a
    cookie, so another site has no credential to use. This check is the second line of defense.

    Args:
        settings: `gateway.origins`.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(origin.encode() for origin in settings.gateway.origins)

    def allows(self, scope: Scope) -> bool:
        """Return whether a request comes from an allowed page or from no page."""
        origins, hosts = _header_values(scope["headers"], b"origin"), _header_values(scope["headers"], b"host")
        if not origins:
            return True
        if len(origins) != 1 or len(hosts) > 1:
            return False
        return self._is_listed(origins[0]) or (bool(hosts) and _authority(origins[0]) == hosts[0].lower() != b"")

    def headers(self, scope: Scope) -> Headers:
        """Return the headers that let a listed page read the response."""
        origins = _header_values(scope["headers"], b"origin")
        if len(origins) != 1 or not self._allowed:
            return []
        vary = (b"vary", b"origin")
        return (
            [vary, (b"access-control-allow-origin", origins[0]), EXPOSED_HEADERS]
            if self._is_listed(origins[0])
            else [vary]
        )

    def preflight(self, scope: Scope) -> Headers | None:
        """Return the headers for a preflight request of a listed page, or None for any other request."""
        if scope["method"] != "OPTIONS" or not _header_values(scope["headers"], b"access-control-request-method"):
            return None
        headers = self.headers(scope)
        return [*headers, *PREFLIGHT_HEADERS] if EXPOSED_HEADERS in headers else None

    def _is_listed(self, origin: bytes) -> bool:
        return origin.lower() in self._allowed or ANY_ORIGIN in self._allowed


class EdgeMiddleware:
    """The outermost ASGI application.

    Args:
        app: answers HTTP requests. It raises nothing.
        sockets: serves WebSockets, which have their own limits. It raises nothing.
        cors: the origins that may read responses.
        concurrency: limits the requests in flight.
        readiness: whether the gateway is stopping.
        texts: the texts of errors.
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
        """Serve one request or WebSocket."""
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
        slot = self._concurrency.slot()
        response = _ResponseStart(scope, self._cors.headers(scope), self._readiness, slot, send)
        try:
            with slot:
                await self._app(scope, receive, response.send)
        except Unavailable as error:
            await error_response(error, self._texts)(scope, receive, response.send)


class _ResponseStart:
    """Adds the common headers to the response of a request, and releases its slot."""

    def __init__(
        self, scope: Scope, headers: Headers, readiness: Readiness, slot: RequestSlot, send: Send
    ) -> None:
        self._scope = scope
        self._headers = headers
        self._readiness = readiness
        self._slot = slot
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._slot.release()
            headers = list(self._headers)
            if quota := self._scope["state"].get(QUOTA_STATE_KEY):
                headers += quota.headers()
            if self._readiness.stopping:  # the next request of the client should go to another gateway
                headers.append((b"connection", b"close"))
            if headers:
                message = {**message, "headers": [*message["headers"], *headers]}
        await self._send(message)


def _header_values(headers: Iterable[tuple[bytes, bytes]], requested: bytes) -> list[bytes]:
    return [value for name, value in headers if name == requested]


def _authority(origin: bytes) -> bytes:
    """Return host and port only, because behind a TLS proxy the gateway sees another scheme than the browser.

    The page of an app, such as `capacitor://localhost`, is not a page of a gateway at `localhost`.
    """
    scheme, _, authority = origin.lower().partition(b"://")
    return authority if scheme in (b"http", b"https") else b""


class ErrorMiddleware:
    """Turns each error of an HTTP route into a `Refusal`.

    Args:
        app: the router.
        texts: the texts of errors.
    """

    def __init__(self, app: ASGIApp, texts: Texts) -> None:
        self._app = app
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["app"] = self  # makes the router raise errors instead of answering in plain text
        try:
            await self._app(scope, receive, send)
        except MsgctlError as error:
            if error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("Request failed", code=error.code)
            response = error_response(error, self._texts)
        except HTTPException as error:
            allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            response = routing_error_response(error.status_code, self._texts, {"allow": allow} if allow else None)
        except Exception:
            log.exception("Request failed unexpectedly")
            response = error_response(MsgctlError(""), self._texts)
        else:
            return
        await response(scope, receive, send)
