"""The ledger in Redis: the stream of the newest events."""

from collections.abc import AsyncIterator, Collection

from msgctl.ledger.event import Event
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

LEDGER_READ_COUNT = 1000
"""Events that one call reads, so that Redis serves other clients meanwhile."""


class Ledger:
    """Reads the stream of events.

    Args:
        redis: a client made by `connect`.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def read_after(self, entry: str, limit: int = LEDGER_READ_COUNT) -> list[Event]:
        """Return the next events after an entry, oldest first."""
        entries = await self._redis.xrange(keys.EVENTS, min=f"({entry}", max="+", count=limit)
        return [Event.from_entry(entry, fields) for entry, fields in entries]

    async def iter_after(self, entry: str) -> AsyncIterator[list[Event]]:
        """Yield all events after an entry that exist now, in batches."""
        while events := await self.read_after(entry):
            yield events
            entry = events[-1].entry

    async def read_newest(self, limit: int) -> list[Event]:
        """Return the latest events, oldest first."""
        entries = await self._redis.xrevrange(keys.EVENTS, count=limit)
        return [Event.from_entry(entry, fields) for entry, fields in reversed(entries)]

    async def read_related(
        self, message_ids: Collection[str], conversation_id: str | None, entry: str
    ) -> list[Event]:
        """Return the events after an entry that concern some messages, or any message of a conversation."""
        related_ids, related = set(message_ids), []
        async for events in self.iter_after(entry):
            for event in events:
                if conversation_id is not None and event.conversation_id == conversation_id:
                    related_ids.add(event.message_id)
                if event.message_id in related_ids:
                    related.append(event)
        return related
