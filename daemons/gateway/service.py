"""The calls of clients to the pipeline, by HTTP or WebSocket. Each has a time limit, because Redis may hang."""

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
from msgctl.intake.channel_access import ChannelAccess
from msgctl.observability import logs

log = logs.get_logger(__name__)

RouteHandler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Limit the time of the context as a whole, however many calls it makes.

    Raises:
        Unavailable: the context took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("Redis or PostgreSQL took too long to answer. Try again.") from None


def with_time_limit(handler: RouteHandler, seconds: float) -> RouteHandler:
    """Wrap the handler of a route so that it answers in time or raises `Unavailable`."""

    async def answer(request: Request) -> Response:
        async with time_limit(seconds):
            return await handler(request)

    return answer


class GatewayService:
    """The calls of clients, for both APIs.

    Each method raises RedisUnavailable if Redis does not answer, and Unavailable if it takes too long.

    Args:
        intake: accepts messages.
        channel_access: decides who may send through a channel.
        sockets: the sockets of all gateways and their conversations.
        readiness: rejects messages while Redis has no memory.
        rate_limiter: limits the requests of users.
        concurrency: limits frames in flight. HTTP requests are counted before they arrive here.
        settings: `redis.timeout` limits each call.
    """

    def __init__(
        self,
        intake: Intake,
        channel_access: ChannelAccess,
        sockets: SocketRegistry,
        readiness: Readiness,
        *,
        rate_limiter: RateLimiter,
        concurrency: ConcurrencyLimit,
        settings: Settings,
    ) -> None:
        self._intake = intake
        self._channel_access = channel_access
        self._readiness = readiness
        self._sockets = sockets
        self._rate_limiter = rate_limiter
        self._concurrency = concurrency
        self._timeout_s = settings.redis.timeout

    async def accept(
        self, submission: Submission, claims: Claims, *, idempotency_key: str = "", socket_id: str = ""
    ) -> AcceptReceipt:
        """Accept a message. Raises the errors of `ChannelAccess.require` and `Intake.accept`.

        After a timeout the message may still be in the queue. If the client sends it again with its messageId or
        Idempotency-Key, it runs once.
        """
        self._readiness.require_capacity()
        async with time_limit(self._timeout_s):
            await self._channel_access.require(submission, claims.user_id, claims.scopes)
            receipt = await self._intake.accept(
                submission,
                claims.user_id,
                idempotency_key=idempotency_key,
                socket_id=socket_id,
                tier_allowance=await self._rate_limiter.allowance_of(claims),
            )
        log.info("Message accepted", messageId=receipt.message_id, repeated=receipt.repeated)
        return receipt

    @asynccontextmanager
    async def count_frame(self, claims: Claims) -> AsyncIterator[None]:
        """Count one frame as a request of its user and as work in flight.

        Raises:
            TryLater: the user has sent too many requests.
            Unavailable: the gateway has too many requests in flight.
        """
        await self._rate_limiter.count_request(claims)
        with self._concurrency:
            yield

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """Let a socket receive the replies of a conversation, if it belongs to the user of the socket."""
        async with time_limit(self._timeout_s):
            await self._sockets.join(socket_id, conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Stop sending the replies of a conversation to a socket."""
        async with time_limit(self._timeout_s):
            await self._sockets.leave(socket_id, conversation_id)

    async def missed_replies(self, conversation_id: str, user_id: str, after_seq: int) -> MissedResponses:
        """Return the responses after a sequence number.

        Raises:
            NotFound: the conversation belongs to another user.
        """
        async with time_limit(self._timeout_s):
            return await self._sockets.find_missed(conversation_id, user_id, after_seq)
