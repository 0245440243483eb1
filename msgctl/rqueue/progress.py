"""How far running messages are: noted at once, written together, never waited for by the message."""

import asyncio

from redis.asyncio import Redis

from msgctl import logs
from msgctl.config import Settings
from msgctl.errors import RedisUnavailable
from msgctl.redisdb import Script, unavailable_as_error
from msgctl.rqueue.claims import Claimed, progress_event

PROGRESS = Script.beside(__file__, "progress")

log = logs.get(__name__)


class Progress:
    """A notebook that one task empties into Redis, all notes of the moment in one call.

    A note lost to a Redis outage is not repeated: the next one says more.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._notes: list[tuple[Claimed, int]] = []
        self._noted = asyncio.Event()

    def note(self, claimed: Claimed, progress: int) -> None:
        """Remember that a message has come to `progress` (0 to 100)."""
        self._notes.append((claimed, progress))
        self._noted.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            notes, self._notes = self._notes, []
            arguments: list[str | bytes | float] = []
            for claimed, progress in notes:
                message = claimed.message
                arguments += (message.message_id, claimed.run, progress, progress_event(message, progress))
            try:
                with unavailable_as_error(self._settings):
                    await PROGRESS(self._redis, *arguments)
            except RedisUnavailable:
                log.debug("progress was not written", notes=len(notes))
