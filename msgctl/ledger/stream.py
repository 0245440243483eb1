"""The ledger in Redis: the newest events, as they come."""

from collections.abc import AsyncIterator, Collection

from msgctl.ledger.event import Event
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

LEDGER_READ_COUNT = 1000
"""Events read in one call, so that Redis serves others meanwhile."""


class Ledger:
    """Reads the stream of events.

    Args:
        redis: a client of `redisdb.connect`.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def read_after(self, entry: str, limit: int = LEDGER_READ_COUNT) -> list[Event]:
        """The next events behind an entry, oldest first."""
        found = await self._redis.xrange(keys.EVENTS, min=f"({entry}", max="+", count=limit)
        return [Event.from_entry(entry, fields) for entry, fields in found]

    async def iter_after(self, entry: str) -> AsyncIterator[list[Event]]:
        """Every event behind an entry that is there now, in slices."""
        while events := await self.read_after(entry):
            yield events
            entry = events[-1].entry

    async def read_newest(self, limit: int) -> list[Event]:
        """The last events, oldest first."""
        found = await self._redis.xrevrange(keys.EVENTS, count=limit)
        return [Event.from_entry(entry, fields) for entry, fields in reversed(found)]

    async def read_related(
        self, message_ids: Collection[str], conversation_id: str | None, entry: str
    ) -> list[Event]:
        """The events behind an entry that concern some messages, or any message of a conversation."""
        wanted, found = set(message_ids), []
        async for events in self.iter_after(entry):
            for event in events:
                if conversation_id is not None and event.conversation_id == conversation_id:
                    wanted.add(event.message_id)
                if event.message_id in wanted:
                    found.append(event)
        return found
