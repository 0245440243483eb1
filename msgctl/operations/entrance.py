"""The one object that opens every operation, a noun each."""
# ruff: noqa: PLW0108 - a lambda, so that the operation is imported when it is asked for

from functools import cached_property
from typing import Any

import msgctl.operations as rooms
from msgctl.ledger.stream import Ledger
from msgctl.operations.context import Context
from msgctl.queue.queue import Stats


class Operations(Context):
    """Operations on one running pipeline; each raises RedisUnavailable where Redis does not answer.

    A noun's module is imported when it is first asked for: a command that counts messages needs no PostgreSQL.
    """

    messages = cached_property(lambda self: rooms.Messages(self))
    dead_letters = cached_property(lambda self: rooms.DeadLetters(self))
    cleaning = cached_property(lambda self: rooms.MessagePurger(self))
    workers = cached_property(lambda self: rooms.Workers(self))
    replies = cached_property(lambda self: rooms.Replies(self))
    checkup = cached_property(lambda self: rooms.HealthCheck(self))
    verification = cached_property(lambda self: rooms.InvariantVerification(self))
    overview = cached_property(lambda self: rooms.Overview(self))
    listing = cached_property(lambda self: rooms.Listing(self))
    triage = cached_property(lambda self: rooms.Triage(self))
    deliveries = cached_property(lambda self: rooms.Deliveries(self))
    channels = cached_property(lambda self: rooms.Channels(self))
    selection = cached_property(lambda self: rooms.Selection(self))
    grouping = cached_property(lambda self: rooms.Grouping(self))
    replaying = cached_property(lambda self: rooms.BulkReplay(self))
    cancelling = cached_property(lambda self: rooms.MessageCanceller(self))
    explaining = cached_property(lambda self: rooms.WaitExplainer(self))
    history = cached_property(lambda self: rooms.ConversationHistory(self))
    journal = cached_property(lambda self: rooms.AuditLog(self))
    doubts = cached_property(lambda self: rooms.StrictHealthCheck(self))
    tracing = cached_property(lambda self: rooms.MessageTracer(self))
    rebuilding = cached_property(lambda self: rooms.LedgerRestore(self))
    ledger = cached_property(lambda self: Ledger(self.redis))
    doctor = cached_property(lambda self: rooms.Doctor(self))

    async def status(self, message_id: str, *, user_id: str | None = None) -> dict[str, Any]:
        """The state of a message, as `GET /api/messages/{id}/status` answers it; see `Messages.status`."""
        return await self.messages.status(message_id, user_id=user_id)

    async def stats(self) -> Stats:
        """How many messages are in which state."""
        return await self.queue.stats()

    async def health(self) -> "rooms.Health":
        """Whether the pipeline works, and every reason why not; raises nothing for a Redis that is down."""
        return await self.checkup.run()
