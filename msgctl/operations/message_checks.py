"""Verification of messages: each is where it says it is (I1, I2, I4, I5, I7), and none has vanished."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.operations.findings import Suspect, suspect
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

EXAMINE = Script.beside(__file__, "check_messages")
EXAMINE_RUNS = Script.beside(__file__, "check_runs")

BATCH = 100
"""Messages examined in one call."""
PAST_LEASE = 5000
"""Milliseconds after the end of its lease within which a run must be over."""


class Places:
    """Each message is in the one place where its record says, with its response where that must be.

    Args:
        settings: `retry.attempts`, `worker.max_crashes`.
        redis: a client of `redisdb.connect`.
        tally: counts the messages by place; only the first look at each is to be counted.
    """

    def __init__(self, settings: Settings, redis: RedisClient, tally: Counter[str]) -> None:
        self._settings = settings
        self._redis = redis
        self._tally = tally

    def concerns(self, key: str) -> bool:
        """Job hashes."""
        return key.startswith(contracts.RQ_JOB)

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """What is wrong with these messages."""
        found: list[Suspect] = []
        limits = self._settings.retry.policy().most_attempts, self._settings.worker.max_crashes + 1
        for ids in _batches([key.removeprefix(contracts.RQ_JOB) for key in keys]):
            rows = await EXAMINE(self._redis, *limits, *ids)
            for message_id, place, *faults in rows:
                if place not in {"foreign", "gone"}:
                    self._tally[place] += 1
                for invariant, problem in zip(faults[::2], faults[1::2], strict=True):
                    found.append(suspect(contracts.job_key(message_id), invariant, message_id, problem))
        return found


class Identities:
    """What was accepted is known, unless it was removed on purpose.

    Judged only where records are kept as long as identities are: else a message may be over and forgotten.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        keep = settings.retention
        self._can_tell = min(keep.completed, keep.failed) >= keep.identity

    def concerns(self, key: str) -> bool:
        """Identities of accepted messages."""
        return self._can_tell and key.startswith(contracts.IDENTITY)

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """Which of these messages have vanished."""
        pipeline = self._redis.pipeline(transaction=True)
        ids = [key.removeprefix(contracts.IDENTITY) for key in keys]
        for message_id in ids:
            pipeline.exists(contracts.IDENTITY + message_id)
            pipeline.hexists(contracts.IDENTITY + message_id, contracts.IDENTITY_REMOVED)
            pipeline.exists(contracts.job_key(message_id))
        answers = await pipeline.execute()
        facts = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        return [
            suspect(
                contracts.IDENTITY + message_id, "I1", message_id, "it was accepted, and there is no trace of it"
            )
            for message_id, (accepted, removed, known) in zip(ids, facts, strict=True)
            if accepted and not removed and not known
        ]


class Runs:
    """Whatever holds a lease runs, within it, and RQ shows just that."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._keys = {contracts.LEASES, *(contracts.RQ_WIP + queue for queue in contracts.QUEUES)}

    def concerns(self, key: str) -> bool:
        """The leases, and RQ's registries of what runs."""
        return key in self._keys

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """What is wrong with the runs in these sets."""
        found: list[Suspect] = []
        for key in keys:
            async for members in self._members(key):
                faults = await EXAMINE_RUNS(self._redis, PAST_LEASE, *members)
                found += [suspect(key, "I4", member, problem) for member, problem in faults]
        return found

    async def _members(self, key: str) -> AsyncIterator[tuple[str, ...]]:
        cursor = -1
        while cursor != 0:
            cursor, entries = await self._redis.zscan(key, max(cursor, 0), count=BATCH)
            for batch in _batches([str(member) for member, _ in entries]):
                yield batch


def _batches(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
