"""Verification of queues (I4): what waits in one waits there once, and is nowhere else."""

from collections.abc import Sequence

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.operations.findings import Suspect, suspect
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

EXAMINE_QUEUE = Script.beside(__file__, "check_queue")

SLICE = 500
"""Ids of a queue looked at in one call."""


class Lines:
    """Each queue holds messages that are queued, in that queue, once."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._keys = {contracts.RQ_QUEUE + queue for queue in (*contracts.QUEUES, contracts.QUARANTINE)}

    def concerns(self, key: str) -> bool:
        """Our queues."""
        return key in self._keys

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """What is wrong in these queues."""
        return [found for key in keys for found in await self._walk(key)]

    async def _walk(self, key: str) -> list[Suspect]:
        found: list[Suspect] = []
        start, length = 0, SLICE
        while length == SLICE:
            length, *faults = await EXAMINE_QUEUE(
                self._redis, key.removeprefix(contracts.RQ_QUEUE), start, start + SLICE - 1
            )
            found += [suspect(key, "I4", message_id, problem) for message_id, problem in faults]
            start += SLICE
        return found
