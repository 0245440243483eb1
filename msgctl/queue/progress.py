"""How far running messages are: noted at once, written together, never waited for by the message."""

import asyncio
from contextlib import suppress

from msgctl.domain.errors import RedisUnavailable
from msgctl.observability import logs
from msgctl.queue.leases import LeasedMessage, encode_progress_prefix
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

WRITE_PROGRESS = Script.beside(__file__, "update_progress")
COALESCE_WINDOW_S = 0.02
"""Seconds a note waits for others. A message that is committed within them takes its notes along, which saves
three of eight round trips at 50 messages a second."""

log = logs.get_logger(__name__)


class ProgressWriter:
    """A notebook that one task empties into Redis, all notes of the moment in one call.

    A note lost to a Redis outage is not repeated: the next one says more.

    Args:
        redis: a client of `redisdb.connect`.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._unwritten: dict[str, tuple[LeasedMessage, list[int]]] = {}
        self._has_unwritten = asyncio.Event()

    def record(self, leased: LeasedMessage, progress: int) -> None:
        """Remember that a message has come to `progress` (0 to 100)."""
        self._unwritten.setdefault(leased.lease, (leased, []))[1].append(progress)
        self._has_unwritten.set()

    def take_unwritten(self, leased: LeasedMessage) -> list[int]:
        """What is noted of a message and not written yet; whoever takes it must tell it."""
        return self._unwritten.pop(leased.lease, (leased, []))[1]

    async def flush(self, leased: LeasedMessage) -> None:
        """Write what is noted of one message now."""
        if passed := self.take_unwritten(leased):
            with suppress(RedisUnavailable):
                await self._write({leased.lease: (leased, passed)})

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._has_unwritten.wait()
            await asyncio.sleep(COALESCE_WINDOW_S)
            self._has_unwritten.clear()
            notes, self._unwritten = self._unwritten, {}
            try:
                if notes:
                    await self._write(notes)
            except RedisUnavailable:
                log.debug("progress was not written", notes=len(notes))

    async def _write(self, notes: dict[str, tuple[LeasedMessage, list[int]]]) -> None:
        arguments: list[str | bytes | float] = []
        for claimed, passed in notes.values():
            message = claimed.message
            arguments += (
                message.message_id,
                claimed.run,
                " ".join(map(str, passed)),
                encode_progress_prefix(message),
            )
        await WRITE_PROGRESS(self._redis, *arguments)
