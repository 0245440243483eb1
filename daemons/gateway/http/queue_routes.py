"""The routes `GET /api/messages/queue/stats` and `GET /api/messages/queue/health`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.auth.authenticator import Authenticator
from daemons.gateway.http.responses import retry_after_header, success_response
from daemons.gateway.translations import Texts
from msgctl.domain.errors import RedisUnavailable
from msgctl.operations.checks.health import Health, HealthCheck
from msgctl.operations.context import Context


class QueueRoutes:
    """The state of the queue as a whole, for each user with a token.

    Args:
        authenticator: identifies the user.
        context: reads the state of the queue.
        texts: the text of an outage of Redis.
    """

    def __init__(self, authenticator: Authenticator, context: Context, texts: Texts) -> None:
        self._authenticator = authenticator
        self._context = context
        self._texts = texts

    async def stats(self, request: Request) -> Response:
        """Answer with the number of messages in each state."""
        await self._authenticator.authenticate_request(request.scope)
        return success_response(await self._context.queue.stats())

    async def health(self, request: Request) -> Response:
        """Answer with the health of the pipeline: 200 or 503, and the reasons."""
        await self._authenticator.authenticate_request(request.scope)
        health = self._public_view(await self._context.get(HealthCheck).run())
        return (
            success_response(health, 200)
            if health.healthy
            else success_response(health, 503, retry_after_header())
        )

    def _public_view(self, health: Health) -> Health:
        """Remove the address of Redis, which the finding contains for operators."""
        text = self._texts.errors[RedisUnavailable.code]
        reasons = [
            msgspec.structs.replace(reason, message=text) if reason.code == RedisUnavailable.code else reason
            for reason in health.reasons
        ]
        return msgspec.structs.replace(health, reasons=reasons)
