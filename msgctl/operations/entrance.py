"""The one object that opens every operation, a noun each."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from msgctl.config import Settings
from msgctl.events import Ledger
from msgctl.operations.cancelling import Cancelling
from msgctl.operations.channels import Channels
from msgctl.operations.cleaning import Cleaning
from msgctl.operations.dead_letters import DeadLetters
from msgctl.operations.deliveries import Deliveries
from msgctl.operations.doubts import Doubts
from msgctl.operations.explaining import Explaining
from msgctl.operations.grouping import Grouping
from msgctl.operations.health import Checkup, Health
from msgctl.operations.journal import Journal
from msgctl.operations.listing import Listing
from msgctl.operations.messages import Messages
from msgctl.operations.overview import Overview
from msgctl.operations.replaying import Replaying
from msgctl.operations.replies import Replies
from msgctl.operations.selection import Selection
from msgctl.operations.triage import Triage
from msgctl.operations.verification import Verification
from msgctl.operations.workers import Workers
from msgctl.rqueue import Queue, Stats

if TYPE_CHECKING:
    from msgctl.operations.doctor import Doctor
    from msgctl.operations.rebuilding import Rebuilding
    from msgctl.operations.tracing import Tracing


class Operations:
    """Operations on one running pipeline; each raises RedisUnavailable where Redis does not answer.

    Args:
        settings: limits of health, address of Redis.
        redis: a client of `redisdb.connect`.
        queue: on the same client.
    """

    def __init__(self, settings: Settings, redis: Redis, queue: Queue) -> None:
        self._settings = settings
        self._redis = redis
        self.queue = queue
        self.messages = Messages(settings, redis, queue)
        self.dead_letters = DeadLetters(queue)
        self.cleaning = Cleaning(settings, redis, queue)
        self.workers = Workers(settings, redis, queue)
        self.replies = Replies(settings, redis, self.messages)
        self.checkup = Checkup(settings, redis, queue)
        self.verification = Verification(settings, redis)
        self.ledger = Ledger(redis, settings)
        self.explaining = Explaining(settings, redis, queue, self.workers)
        self.overview = Overview(settings, redis, self.checkup, self.workers)
        self.listing = Listing(settings, redis)
        self.triage = Triage(settings, redis, queue)
        self.deliveries = Deliveries(settings, redis)
        self.channels = Channels(settings, redis)
        self.selection = Selection(settings, redis)
        self.grouping = Grouping(self.selection)
        self.replaying = Replaying(settings, redis, queue)
        self.cancelling = Cancelling(queue)
        self.journal = Journal(settings, redis)
        self.doubts = Doubts(settings, redis, queue)

    @cached_property
    def tracing(self) -> "Tracing":
        """Tells the story of a message."""
        from msgctl.operations.tracing import Tracing  # noqa: PLC0415 - psycopg takes 0.2 s

        return Tracing(self._settings, self._redis, self.checkup, self.explaining)

    @cached_property
    def rebuilding(self) -> "Rebuilding":
        """Compares Redis with PostgreSQL's ledger, and fills it from there."""
        from msgctl.operations.rebuilding import Rebuilding  # noqa: PLC0415 - psycopg takes 0.2 s

        return Rebuilding(self._settings, self._redis)

    @cached_property
    def doctor(self) -> "Doctor":
        """Looks at everything, the world outside included."""
        from msgctl.operations.doctor import Doctor  # noqa: PLC0415 - requests, jwt and psycopg take 0.4 s

        return Doctor(
            self._settings,
            self._redis,
            self.queue,
            overview=self.overview,
            triage=self.triage,
            verification=self.verification,
        )

    async def status(self, message_id: str, *, user_id: str | None = None) -> dict[str, Any]:
        """The state of a message, as `GET /api/messages/{id}/status` answers it; see `Messages.status`."""
        return await self.messages.status(message_id, user_id=user_id)

    async def stats(self) -> Stats:
        """How many messages are in which state."""
        return await self.queue.stats()

    async def health(self) -> Health:
        """Whether the pipeline works, and every reason why not; raises nothing for a Redis that is down."""
        return await self.checkup.run()
