"""Verification of messages: each is where its record says (I1, I2, I4, I5, I7), and none has vanished."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from msgctl.config.settings import Settings
from msgctl.operations.checks.invariants.check import InvariantCheck, Suspect, suspect
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

CHECK_MESSAGES = Script.beside(__file__, "check_messages")
CHECK_RUNS = Script.beside(__file__, "check_runs")

CHECK_BATCH_SIZE = 100
"""Messages checked in one call."""
LEASE_OVERRUN_MS = 5000
"""Milliseconds after the end of its lease within which a run must have ended."""


class MessageStateCheck(InvariantCheck):
    """Each message is in the one place that its record names, and its response is where it must be.

    Args:
        settings: `retry.attempts`, `worker.max_crashes`.
        redis: a client of `storage.redis.connections.connect`.
        counts: receives the number of messages by place. Later looks at the same message count again.
    """

    def __init__(self, settings: Settings, redis: RedisClient, counts: Counter[str]) -> None:
        super().__init__(settings, redis)
        self._counts_by_place = counts

    def applies_to(self, key: str) -> bool:
        """Return whether it is a job hash."""
        return key.startswith(keys.RQ_JOB)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the faults of these messages."""
        found: list[Suspect] = []
        limits = self._settings.retry.policy().most_attempts, self._settings.worker.max_crashes + 1
        for ids in _batches([key.removeprefix(keys.RQ_JOB) for key in key_names]):
            rows = await CHECK_MESSAGES(self._redis, *limits, *ids)
            for message_id, place, *faults in rows:
                if place not in {"foreign", "gone"}:
                    self._counts_by_place[place] += 1
                for invariant, problem in zip(faults[::2], faults[1::2], strict=True):
                    found.append(suspect(keys.job_key(message_id), invariant, message_id, problem))
        return found


class IdentityCheck(InvariantCheck):
    """Each message that was accepted is known, unless an operator removed it.

    It applies only if records are kept as long as identities. Otherwise the record of an ended message may have
    expired.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        super().__init__(settings, redis)
        retention = settings.retention
        self._is_decidable = min(retention.completed, retention.failed) >= retention.identity

    def applies_to(self, key: str) -> bool:
        """Return whether it is the identity of an accepted message."""
        return self._is_decidable and key.startswith(keys.IDENTITY)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the messages that have vanished."""
        pipeline = self._redis.pipeline(transaction=True)
        ids = [key.removeprefix(keys.IDENTITY) for key in key_names]
        for message_id in ids:
            pipeline.exists(keys.IDENTITY + message_id)
            pipeline.hexists(keys.IDENTITY + message_id, keys.IDENTITY_REMOVED)
            pipeline.exists(keys.job_key(message_id))
        answers = await pipeline.execute()
        rows = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        return [
            suspect(keys.IDENTITY + message_id, "I1", message_id, "it was accepted, and its record is missing")
            for message_id, (accepted, removed, known) in zip(ids, rows, strict=True)
            if accepted and not removed and not known
        ]


class RunCheck(InvariantCheck):
    """Each run that holds a lease is running within it, and RQ shows the same runs."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        super().__init__(settings, redis)
        self._keys = {keys.LEASES, *(keys.RQ_WIP + queue for queue in keys.QUEUES)}

    def applies_to(self, key: str) -> bool:
        """Return whether it is the set of leases or one of RQ's registries of running jobs."""
        return key in self._keys

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the faults of the runs in these sets."""
        found: list[Suspect] = []
        for key in key_names:
            async for members in self._members(key):
                faults = await CHECK_RUNS(self._redis, LEASE_OVERRUN_MS, *members)
                found += [suspect(key, "I4", member, problem) for member, problem in faults]
        return found

    async def _members(self, key: str) -> AsyncIterator[tuple[str, ...]]:
        cursor = -1
        while cursor != 0:
            cursor, entries = await self._redis.zscan(key, max(cursor, 0), count=CHECK_BATCH_SIZE)
            for batch in _batches([str(member) for member, _ in entries]):
                yield batch


def _batches(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[start : start + CHECK_BATCH_SIZE]) for start in range(0, len(ids), CHECK_BATCH_SIZE)]
