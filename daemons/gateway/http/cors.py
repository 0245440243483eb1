"""Which web pages may use this gateway from a browser: an exact list, besides the gateway's own origin.

A request without an `Origin` header does not come from a browser and is not checked. The token is never in a
cookie, so another site has no credential to use. This check is the second line of defense.
"""

from collections.abc import Iterable

from starlette.types import Scope

from msgctl.config.settings import Settings

ANY_ORIGIN = b"*"
Headers = list[tuple[bytes, bytes]]

EXPOSED_HEADERS = (b"access-control-expose-headers", b"retry-after, ratelimit, ratelimit-policy")
PREFLIGHT_HEADERS: Headers = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
    (b"access-control-max-age", b"600"),
]


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


def _header_values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _authority(origin: bytes) -> bytes:
    """Host and port; behind a proxy that ends TLS the gateway sees another scheme than the browser."""
    return origin.partition(b"://")[2].lower()
