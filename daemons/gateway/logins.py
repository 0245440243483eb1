"""`POST /api/ws-ticket`."""

from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.answers import succeed
from daemons.gateway.bodies import Ticket
from daemons.gateway.credentials import Credentials
from daemons.gateway.tickets import LIFETIME, Tickets


class TicketRoute:
    """Gives the holder of a token a ticket for the WebSocket.

    Args:
        credentials: says who asks.
        tickets: issues it.
    """

    def __init__(self, credentials: Credentials, tickets: Tickets) -> None:
        self._credentials = credentials
        self._tickets = tickets

    async def answer(self, request: Request) -> Response:
        """Answer one request; a body is not looked at."""
        claims = await self._credentials.of_request(request.scope)
        return succeed(Ticket(ticket=await self._tickets.issue(claims), expires_in=LIFETIME), 201)
