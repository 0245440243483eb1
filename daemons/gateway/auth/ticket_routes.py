"""The route `POST /api/ws-ticket`."""

from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.auth.authenticator import Authenticator
from daemons.gateway.auth.tickets import TICKET_LIFETIME_S, Tickets
from daemons.gateway.http.responses import success_response
from daemons.gateway.http.schemas import Ticket


class TicketRoute:
    """Issues a ticket for the WebSocket to the user of a token.

    Args:
        authenticator: identifies the user.
        tickets: issues the ticket.
    """

    def __init__(self, authenticator: Authenticator, tickets: Tickets) -> None:
        self._authenticator = authenticator
        self._tickets = tickets

    async def answer(self, request: Request) -> Response:
        """Answer one request. A body is ignored."""
        claims = await self._authenticator.authenticate_request(request.scope)
        return success_response(
            Ticket(ticket=await self._tickets.issue(claims), expires_in=TICKET_LIFETIME_S), 201
        )
