"""Who a request or a socket comes from: a bearer token, a subprotocol, a query parameter or a one-time ticket."""

from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.types import Scope

from daemons.gateway.tickets import Tickets
from msgctl.errors import Unauthorized
from msgctl.tokens import Claims, Verifier

SUBPROTOCOL = "msgctl.v1"
BEARER = "bearer."
"""What comes before the token in the list of subprotocols, the one header that a browser's WebSocket can set."""


class Credentials:
    """Finds the credential of a request and checks it.

    Args:
        verifier: checks tokens.
        tickets: checks one-time tickets.
    """

    def __init__(self, verifier: Verifier, tickets: Tickets) -> None:
        self._verifier = verifier
        self._tickets = tickets

    def of_request(self, headers: Iterable[tuple[bytes, bytes]]) -> Claims:
        """Whose HTTP request this is.

        Raises:
            Unauthorized: there is not exactly one good token.
        """
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthorized("Send the header Authorization: Bearer TOKEN.")
        return self._verifier.verify(token.strip())

    async def of_socket(self, scope: Scope) -> Claims:
        """Whose WebSocket this is.

        Raises:
            Unauthorized: there is not exactly one good token or ticket.
            RedisUnavailable: tickets cannot be looked up.
        """
        query = query_of(scope)
        tokens = [name.removeprefix(BEARER) for name in scope["subprotocols"] if name.startswith(BEARER)]
        tokens += query.get("token", [])
        tickets = query.get("ticket", [])
        if len(tokens) + len(tickets) != 1:
            raise Unauthorized("Send one token or one ticket.")
        return await self._tickets.redeem(tickets[0]) if tickets else self._verifier.verify(tokens[0])


def query_of(scope: Scope) -> dict[str, list[str]]:
    """The query string of a request, without what cannot be read."""
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
    except ValueError:
        return {}
