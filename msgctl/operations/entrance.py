"""The one object that opens every operation, a noun each."""

from functools import cached_property
from typing import Any

import msgctl.operations as rooms
from msgctl.config.settings import Settings
from msgctl.events.ledger import Ledger
from msgctl.redisdb.client import RedisClient
from msgctl.rqueue.queue import Queue, Stats


class Operations:
    """Operations on one running pipeline; each raises RedisUnavailable where Redis does not answer.

    A noun's module is imported when it is first asked for: a command that counts messages needs no PostgreSQL.

    Args:
        settings: limits of health, address of Redis.
        redis: a client of `redisdb.connect`.
        queue: on the same client.
    """

    def __init__(self, settings: Settings, redis: RedisClient, queue: Queue) -> None:
        self.settings = settings
        self.redis = redis
        self.queue = queue

    messages = cached_property(lambda self: rooms.Messages(self.settings, self.redis, self.queue))
    dead_letters = cached_property(lambda self: rooms.DeadLetters(self.queue))
    cleaning = cached_property(lambda self: rooms.Cleaning(self.settings, self.redis, self.queue))
    workers = cached_property(lambda self: rooms.Workers(self.settings, self.redis, self.queue))
    replies = cached_property(lambda self: rooms.Replies(self.settings, self.redis, self.messages))
    checkup = cached_property(lambda self: rooms.Checkup(self.settings, self.redis, self.queue))
    verification = cached_property(lambda self: rooms.Verification(self.settings, self.redis))
    overview = cached_property(lambda self: rooms.Overview(self.settings, self.redis, self.checkup, self.workers))
    listing = cached_property(lambda self: rooms.Listing(self.settings, self.redis))
    triage = cached_property(lambda self: rooms.Triage(self.settings, self.redis))
    deliveries = cached_property(lambda self: rooms.Deliveries(self.settings, self.redis))
    channels = cached_property(lambda self: rooms.Channels(self.settings, self.redis))
    selection = cached_property(lambda self: rooms.Selection(self.settings, self.redis))
    grouping = cached_property(lambda self: rooms.Grouping(self.selection))
    replaying = cached_property(lambda self: rooms.Replaying(self.settings, self.redis, self.queue))
    cancelling = cached_property(lambda self: rooms.Cancelling(self.queue))
    explaining = cached_property(
        lambda self: rooms.Explaining(self.settings, self.redis, self.queue, self.workers)
    )
    history = cached_property(lambda self: rooms.History(self.settings, self.redis))
    journal = cached_property(lambda self: rooms.Journal(self.settings, self.redis))
    doubts = cached_property(lambda self: rooms.Doubts(self.settings, self.redis, self.queue))
    tracing = cached_property(lambda self: rooms.Tracing(self.settings, self.redis, self.checkup, self.explaining))
    rebuilding = cached_property(lambda self: rooms.Rebuilding(self.settings, self.redis))
    ledger = cached_property(lambda self: Ledger(self.redis))
    doctor = cached_property(
        lambda self: rooms.Doctor(
            self.settings,
            self.redis,
            self.queue,
            overview=self.overview,
            triage=self.triage,
            verification=self.verification,
        )
    )

    async def status(self, message_id: str, *, user_id: str | None = None) -> dict[str, Any]:
        """The state of a message, as `GET /api/messages/{id}/status` answers it; see `Messages.status`."""
        return await self.messages.status(message_id, user_id=user_id)

    async def stats(self) -> Stats:
        """How many messages are in which state."""
        return await self.queue.stats()

    async def health(self) -> "rooms.Health":
        """Whether the pipeline works, and every reason why not; raises nothing for a Redis that is down."""
        return await self.checkup.run()
