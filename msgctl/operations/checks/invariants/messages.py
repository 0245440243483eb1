"""Verification of messages: each is where it says it is (I1, I2, I4, I5, I7), and none has vanished."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from msgctl.config.settings import Settings
from msgctl.operations.checks.findings import Suspect, suspect
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

CHECK_MESSAGES = Script.beside(__file__, "check_messages")
CHECK_RUNS = Script.beside(__file__, "check_runs")

CHECK_BATCH_SIZE = 100
"""Messages examined in one call."""
LEASE_OVERRUN_MS = 5000
"""Milliseconds after the end of its lease within which a run must be over."""


class MessageStateCheck:
    """Each message is in the one place where its record says, with its response where that must be.

    Args:
        settings: `retry.attempts`, `worker.max_crashes`.
        redis: a client of `redisdb.connect`.
        tally: counts the messages by place; only the first look at each is to be counted.
    """

    def __init__(self, settings: Settings, redis: RedisClient, tally: Counter[str]) -> None:
        self._settings = settings
        self._redis = redis
        self._counts_by_state = tally

    def applies_to(self, key: str) -> bool:
        """Job hashes."""
        return key.startswith(keys.RQ_JOB)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """What is wrong with these messages."""
        found: list[Suspect] = []
        limits = self._settings.retry.policy().most_attempts, self._settings.worker.max_crashes + 1
        for ids in _batches([key.removeprefix(keys.RQ_JOB) for key in key_names]):
            rows = await CHECK_MESSAGES(self._redis, *limits, *ids)
            for message_id, place, *faults in rows:
                if place not in {"foreign", "gone"}:
                    self._counts_by_state[place] += 1
                for invariant, problem in zip(faults[::2], faults[1::2], strict=True):
                    found.append(suspect(keys.job_key(message_id), invariant, message_id, problem))
        return found


class IdentityCheck:
    """What was accepted is known, unless it was removed on purpose.

    Judged only where records are kept as long as identities are: else a message may be over and forgotten.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        keep = settings.retention
        self._is_decidable = min(keep.completed, keep.failed) >= keep.identity

    def applies_to(self, key: str) -> bool:
        """Identities of accepted messages."""
        return self._is_decidable and key.startswith(keys.IDENTITY)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Which of these messages have vanished."""
        pipeline = self._redis.pipeline(transaction=True)
        ids = [key.removeprefix(keys.IDENTITY) for key in key_names]
        for message_id in ids:
            pipeline.exists(keys.IDENTITY + message_id)
            pipeline.hexists(keys.IDENTITY + message_id, keys.IDENTITY_REMOVED)
            pipeline.exists(keys.job_key(message_id))
        answers = await pipeline.execute()
        facts = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        return [
            suspect(keys.IDENTITY + message_id, "I1", message_id, "it was accepted, and there is no trace of it")
            for message_id, (accepted, removed, known) in zip(ids, facts, strict=True)
            if accepted and not removed and not known
        ]


class RunCheck:
    """Whatever holds a lease runs, within it, and RQ shows just that."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._keys = {keys.LEASES, *(keys.RQ_WIP + queue for queue in keys.QUEUES)}

    def applies_to(self, key: str) -> bool:
        """The leases, and RQ's registries of what runs."""
        return key in self._keys

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """What is wrong with the runs in these sets."""
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
