"""The user of a request or socket, from a bearer token, a subprotocol, a query parameter, or a one-time ticket."""

from collections.abc import Sequence
from urllib.parse import parse_qs

from starlette.types import Scope

from daemons.gateway.auth.jwks import PublishedKeys
from daemons.gateway.auth.tickets import Tickets
from daemons.gateway.http.middleware import QUOTA_STATE_KEY
from daemons.gateway.limits import RateLimiter, RateLimitExceeded
from msgctl.auth.tokens import Claims, UnknownKey, Verifier
from msgctl.domain.errors import Unauthorized

SUBPROTOCOL = "msgctl.v1"
BEARER_PREFIX = "bearer."
"""The prefix of a token in the list of subprotocols, the only header that a WebSocket in a browser can set."""


class Authenticator:
    """Finds the credential of a request and checks it.

    Args:
        verifier: checks tokens.
        tickets: checks one-time tickets.
        keys: fetches keys that the verifier does not know.
        rate_limiter: counts requests.
    """

    def __init__(
        self, verifier: Verifier, tickets: Tickets, keys: PublishedKeys, rate_limiter: RateLimiter
    ) -> None:
        self._verifier = verifier
        self._tickets = tickets
        self._keys = keys
        self._rate_limiter = rate_limiter

    async def authenticate_request(self, scope: Scope) -> Claims:
        """Return the claims of an HTTP request, and count the request of that user.

        Raises:
            Unauthorized: the request does not have exactly one valid token.
            RateLimitExceeded: the user has sent too many requests.
        """
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = values[0].decode("latin-1").partition(" ") if len(values) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthorized("Send the header Authorization: Bearer TOKEN.")
        claims = await self._verify(token.strip())
        try:
            scope["state"][QUOTA_STATE_KEY] = await self._rate_limiter.count_request(claims)
        except RateLimitExceeded as error:
            scope["state"][QUOTA_STATE_KEY] = error.quota
            raise
        return claims

    async def authenticate_socket(self, scope: Scope) -> Claims:
        """Return the claims of a WebSocket.

        Raises:
            Unauthorized: the handshake does not have exactly one valid token or ticket.
            RedisUnavailable: the ticket could not be looked up.
        """
        query = parse_query_string(scope)
        tokens = [
            name.removeprefix(BEARER_PREFIX) for name in scope["subprotocols"] if name.startswith(BEARER_PREFIX)
        ]
        tokens += query.get("token", [])
        tickets = query.get("ticket", [])
        if len(tokens) + len(tickets) != 1:
            raise Unauthorized("Send exactly one token or one ticket.")
        return await (self._tickets.redeem(tickets[0]) if tickets else self._verify(tokens[0]))

    async def _verify(self, token: str) -> Claims:
        try:
            return self._verifier.verify(token)
        except UnknownKey:
            await self._keys.refresh_for_unknown_key()
            return self._verifier.verify(token)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the offered subprotocol that the gateway accepts, or None.

    A browser closes a socket if it offered subprotocols and none of them was accepted. So a token that is offered
    alone is echoed to its sender, which is the only way in which such a client can connect. With `SUBPROTOCOL`
    beside it, the token is never echoed.
    """
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    tokens = [name for name in offered if name.startswith(BEARER_PREFIX)]
    return tokens[0] if len(tokens) == 1 == len(offered) else None


def parse_query_string(scope: Scope) -> dict[str, list[str]]:
    """Parse the query string of a request. One that cannot be parsed counts as empty."""
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
    except ValueError:
        return {}
