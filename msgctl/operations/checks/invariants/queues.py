"""Verification of queues (I4): what waits in one waits there once, and is nowhere else."""

from collections.abc import Sequence

from msgctl.config.settings import Settings
from msgctl.operations.checks.findings import Suspect, suspect
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

CHECK_QUEUE = Script.beside(__file__, "check_queue")

CHECKED_QUEUE_SLICE = 500
"""Ids of a queue looked at in one call."""


class QueueCheck:
    """Each queue holds messages that are queued, in that queue, once."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._keys = {keys.RQ_QUEUE + queue for queue in (*keys.QUEUES, keys.QUARANTINE)}

    def applies_to(self, key: str) -> bool:
        """Our queues."""
        return key in self._keys

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """What is wrong in these queues."""
        return [found for key in key_names for found in await self._walk(key)]

    async def _walk(self, key: str) -> list[Suspect]:
        found: list[Suspect] = []
        start, length = 0, CHECKED_QUEUE_SLICE
        while length == CHECKED_QUEUE_SLICE:
            length, *faults = await CHECK_QUEUE(
                self._redis, key.removeprefix(keys.RQ_QUEUE), start, start + CHECKED_QUEUE_SLICE - 1
            )
            found += [suspect(key, "I4", message_id, problem) for message_id, problem in faults]
            start += CHECKED_QUEUE_SLICE
        return found
