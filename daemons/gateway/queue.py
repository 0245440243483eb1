"""`GET /api/messages/queue/stats` and `GET /api/messages/queue/health`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.answers import retry_after, succeed
from daemons.gateway.credentials import Credentials
from daemons.gateway.texts import Texts
from msgctl.errors import RedisUnavailable
from msgctl.operations.entrance import Operations
from msgctl.operations.health import Health


class QueueRoutes:
    """What anybody with a token may know of the queue as a whole.

    Args:
        credentials: says who asks.
        operations: knows.
        texts: the language of what is told of Redis.
    """

    def __init__(self, credentials: Credentials, operations: Operations, texts: Texts) -> None:
        self._credentials = credentials
        self._operations = operations
        self._texts = texts

    async def stats(self, request: Request) -> Response:
        """How many messages are in which state."""
        await self._credentials.of_request(request.scope)
        return succeed(await self._operations.stats())

    async def health(self, request: Request) -> Response:
        """Whether the pipeline works: 200 or 503, and the reasons."""
        await self._credentials.of_request(request.scope)
        health = self._for_strangers(await self._operations.health())
        return succeed(health, 200) if health.healthy else succeed(health, 503, retry_after())

    def _for_strangers(self, health: Health) -> Health:
        """Without the address of Redis, which the finding about it tells to operators."""
        text = self._texts.errors[RedisUnavailable.code]
        reasons = [
            msgspec.structs.replace(reason, message=text) if reason.code == RedisUnavailable.code else reason
            for reason in health.reasons
        ]
        return msgspec.structs.replace(health, reasons=reasons)
