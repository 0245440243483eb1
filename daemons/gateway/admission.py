"""What clients ask of the pipeline, by HTTP or by socket, each within a deadline, since a Redis may hang."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daemons.gateway.deadline import within
from daemons.gateway.limits import Limits
from daemons.gateway.standing import Standing
from daemons.gateway.workload import Workload
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.delivery.sockets import Missed, Sockets
from msgctl.intake import Intake, Receipt, Submission
from msgctl.tokens import Claims

log = logs.get(__name__)


class Admission:
    """The way in.

    Args:
        intake: accepts messages.
        sockets: where sockets and conversations are known to all gateways.
        standing: says when Redis has no room.
        limits: what a user may ask for.
        workload: bounds what sockets ask for; requests are counted before they get here.
        settings: `redis.timeout` bounds each question.

    Each method raises RedisUnavailable where Redis does not answer, Unavailable where it takes too long.
    """

    def __init__(
        self,
        intake: Intake,
        sockets: Sockets,
        standing: Standing,
        *,
        limits: Limits,
        workload: Workload,
        settings: Settings,
    ) -> None:
        self._intake = intake
        self._standing = standing
        self._sockets = sockets
        self._limits = limits
        self._workload = workload
        self._timeout = settings.redis.timeout

    async def accept(
        self, submission: Submission, claims: Claims, *, idempotency_key: str = "", socket_id: str = ""
    ) -> Receipt:
        """Accept a message; raises what `Intake.accept` does.

        A message whose answer came too late may be in the queue all the same; sent again with its messageId or
        Idempotency-Key it still runs once.
        """
        self._standing.demand_room()
        async with within(self._timeout):
            receipt = await self._intake.accept(
                submission,
                claims.user_id,
                idempotency_key=idempotency_key,
                socket_id=socket_id,
                allowance=await self._limits.allowance_of(claims),
            )
        log.info("message accepted", messageId=receipt.message_id, repeated=receipt.repeated)
        return receipt

    @asynccontextmanager
    async def counting(self, claims: Claims) -> AsyncIterator[None]:
        """Count one frame that asks for something like a request.

        Raises:
            TryLater: it is one too many of its user.
            Unavailable: the gateway has as much in hand as it can serve.
        """
        await self._limits.spend(claims)
        with self._workload:
            yield

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """Let a socket hear a conversation; it hears what is its own user's."""
        async with within(self._timeout):
            await self._sockets.join(socket_id, conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Let a socket hear no more of a conversation."""
        async with within(self._timeout):
            await self._sockets.leave(socket_id, conversation_id)

    async def missed(self, conversation_id: str, user_id: str, after_seq: int) -> Missed:
        """The responses after a number.

        Raises:
            NotFound: the conversation is another user's.
        """
        async with within(self._timeout):
            return await self._sockets.missed(conversation_id, user_id, after_seq)
