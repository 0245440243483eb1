"""How far running messages are: noted at once, written together, never waited for by the message."""

import asyncio
from contextlib import suppress

from msgctl import logs
from msgctl.errors import RedisUnavailable
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script
from msgctl.rqueue.claims import Claimed, progress_event

PROGRESS = Script.beside(__file__, "update_progress")
HOLD = 0.02
"""Seconds a note waits for others. A message that is committed within them takes its notes along, which saves
three of eight round trips at 50 messages a second."""

log = logs.get(__name__)


class Progress:
    """A notebook that one task empties into Redis, all notes of the moment in one call.

    A note lost to a Redis outage is not repeated: the next one says more.

    Args:
        redis: a client of `redisdb.connect`.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._notes: dict[str, tuple[Claimed, list[int]]] = {}
        self._noted = asyncio.Event()

    def note(self, claimed: Claimed, progress: int) -> None:
        """Remember that a message has come to `progress` (0 to 100)."""
        self._notes.setdefault(claimed.lease, (claimed, []))[1].append(progress)
        self._noted.set()

    def take(self, claimed: Claimed) -> list[int]:
        """What is noted of a message and not written yet; whoever takes it must tell it."""
        return self._notes.pop(claimed.lease, (claimed, []))[1]

    async def tell(self, claimed: Claimed) -> None:
        """Write what is noted of one message now."""
        if passed := self.take(claimed):
            with suppress(RedisUnavailable):
                await self._write({claimed.lease: (claimed, passed)})

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(HOLD)
            self._noted.clear()
            notes, self._notes = self._notes, {}
            try:
                if notes:
                    await self._write(notes)
            except RedisUnavailable:
                log.debug("progress was not written", notes=len(notes))

    async def _write(self, notes: dict[str, tuple[Claimed, list[int]]]) -> None:
        arguments: list[str | bytes | float] = []
        for claimed, passed in notes.values():
            message = claimed.message
            arguments += (message.message_id, claimed.run, " ".join(map(str, passed)), progress_event(message))
        await PROGRESS(self._redis, *arguments)
