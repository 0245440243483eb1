"""What clients ask of the pipeline, by HTTP or by socket, each within a deadline, since a Redis may hang."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.http.middleware import ConcurrencyLimit
from daemons.gateway.limits import RateLimiter
from daemons.gateway.readiness import Readiness
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import MissedResponses, SocketRegistry
from msgctl.domain.errors import Unavailable
from msgctl.intake.accept import AcceptReceipt, Intake, Submission
from msgctl.observability import logs

log = logs.get_logger(__name__)

RouteHandler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Give what is done inside so much time in all, however often Redis is asked.

    Raises:
        Unavailable: it took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("The queue or the agents' table took too long to answer.") from None


def with_time_limit(handler: RouteHandler, seconds: float) -> RouteHandler:
    """A route's handler that answers within so many seconds, or is refused as unavailable."""

    async def answer(request: Request) -> Response:
        async with time_limit(seconds):
            return await handler(request)

    return answer


class GatewayService:
    """The way in.

    Args:
        intake: accepts messages.
        sockets: where sockets and conversations are known to all gateways.
        readiness: says when Redis has no room.
        limits: what a user may ask for.
        concurrency: bounds what sockets ask for; requests are counted before they get here.
        settings: `redis.timeout` bounds each question.

    Each method raises RedisUnavailable where Redis does not answer, Unavailable where it takes too long.
    """

    def __init__(
        self,
        intake: Intake,
        sockets: SocketRegistry,
        readiness: Readiness,
        *,
        limits: RateLimiter,
        concurrency: ConcurrencyLimit,
        settings: Settings,
    ) -> None:
        self._intake = intake
        self._readiness = readiness
        self._sockets = sockets
        self._rate_limiter = limits
        self._concurrency = concurrency
        self._timeout_s = settings.redis.timeout

    async def accept(
        self, submission: Submission, claims: Claims, *, idempotency_key: str = "", socket_id: str = ""
    ) -> AcceptReceipt:
        """Accept a message; raises what `Intake.accept` does.

        A message whose answer came too late may be in the queue all the same; sent again with its messageId or
        Idempotency-Key it still runs once.
        """
        self._readiness.require_capacity()
        async with time_limit(self._timeout_s):
            receipt = await self._intake.accept(
                submission,
                claims.user_id,
                idempotency_key=idempotency_key,
                socket_id=socket_id,
                tier_allowance=await self._rate_limiter.allowance_of(claims),
            )
        log.info("message accepted", messageId=receipt.message_id, repeated=receipt.repeated)
        return receipt

    @asynccontextmanager
    async def count_frame(self, claims: Claims) -> AsyncIterator[None]:
        """Count one frame that asks for something like a request.

        Raises:
            TryLater: it is one too many of its user.
            Unavailable: the gateway has as much in hand as it can serve.
        """
        await self._rate_limiter.count_request(claims)
        with self._concurrency:
            yield

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """Let a socket hear a conversation; it hears what is its own user's."""
        async with time_limit(self._timeout_s):
            await self._sockets.join(socket_id, conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Let a socket hear no more of a conversation."""
        async with time_limit(self._timeout_s):
            await self._sockets.leave(socket_id, conversation_id)

    async def missed_replies(self, conversation_id: str, user_id: str, after_seq: int) -> MissedResponses:
        """The responses after a number.

        Raises:
            NotFound: the conversation is another user's.
        """
        async with time_limit(self._timeout_s):
            return await self._sockets.find_missed(conversation_id, user_id, after_seq)
