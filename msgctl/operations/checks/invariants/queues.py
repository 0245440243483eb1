"""Verification of queues (I4): a message that waits in a queue is there once, and nowhere else."""

from collections.abc import Sequence

from msgctl.config.settings import Settings
from msgctl.operations.checks.invariants.check import InvariantCheck, Suspect, suspect
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

CHECK_QUEUE = Script.beside(__file__, "check_queue")

CHECKED_QUEUE_SLICE = 500
"""Ids of a queue that one call checks."""


class QueueCheck(InvariantCheck):
    """Each queue holds only messages that are queued in it, and each of them once."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        super().__init__(settings, redis)
        self._keys = {keys.RQ_QUEUE + queue for queue in (*keys.QUEUES, keys.QUARANTINE)}

    def applies_to(self, key: str) -> bool:
        """Return whether it is a queue of msgctl."""
        return key in self._keys

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the faults of the messages in these queues."""
        return [fault for key in key_names for fault in await self._check_queue(key)]

    async def _check_queue(self, key: str) -> list[Suspect]:
        suspects: list[Suspect] = []
        start, length = 0, CHECKED_QUEUE_SLICE
        while length == CHECKED_QUEUE_SLICE:
            length, *faults = await CHECK_QUEUE(
                self._redis, key.removeprefix(keys.RQ_QUEUE), start, start + CHECKED_QUEUE_SLICE - 1
            )
            suspects += [suspect(key, "I4", message_id, problem) for message_id, problem in faults]
            start += CHECKED_QUEUE_SLICE
        return suspects
