"""The number of messages that ended in each bucket of time, from the scores of RQ's registries in O(log n)."""

from typing import NamedTuple

from msgctl.config.settings import Settings
from msgctl.domain.messages import PRIORITIES
from msgctl.operations.dashboard.snapshot import BUCKET_COUNT, BUCKET_S
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient


class BacklogSample(NamedTuple):
    """The backlog of each priority at one time."""

    at: float
    backlogs: list[int]


class Throughput:
    """Counts the messages that ended in each bucket of time, and caches past buckets.

    Args:
        redis: a client of `storage.redis.connections.connect`.
        settings: `retention.*`. The score of a message in a registry is its end plus its retention period.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._registries = [
            (registry + queue, int(ttl))
            for registry, ttl in (
                (keys.RQ_FINISHED, settings.retention.completed),
                (keys.RQ_FAILED, settings.retention.failed),
            )
            for queue in keys.QUEUES
        ]
        self._counts: dict[int, list[int]] = {}
        self._backlog_samples: list[BacklogSample] = []

    async def ended_per_bucket(self, now: float) -> tuple[list[list[int]], list[list[int]]]:
        """Return the answered and the failed messages of each priority in each bucket, oldest first.

        Args:
            now: Unix seconds of the clock of Redis.
        """
        newest = int(now) // BUCKET_S
        wanted = range(newest - BUCKET_COUNT + 1, newest + 1)
        open_since = newest - 1  # a message may end in this second and be seen in the next
        missing = [bucket for bucket in wanted if bucket >= open_since or bucket not in self._counts]
        found = await self._count([(bucket * BUCKET_S, f"({(bucket + 1) * BUCKET_S}") for bucket in missing])
        counts = self._counts | dict(zip(missing, found, strict=True))
        series = list(zip(*(counts[bucket] for bucket in wanted), strict=True))
        # A bucket that was counted before it was complete is counted again, however late the next call is.
        self._counts = {bucket: counts[bucket] for bucket in wanted if bucket < open_since}
        half = len(PRIORITIES)
        return [list(counts) for counts in series[:half]], [list(counts) for counts in series[half:]]

    async def arrival_rates(self, now: float, backlogs: list[int]) -> list[float | None]:
        """Return the messages per second that each priority received since an earlier call.

        They are the messages that ended and the growth of the backlog.

        Args:
            now: Unix seconds of the clock of Redis.
            backlogs: the number of messages of each priority that have not ended.
        """
        self._backlog_samples = [
            *(sample for sample in self._backlog_samples if now - sample.at <= 3 * BUCKET_S),
            BacklogSample(now, backlogs),
        ]
        then = self._backlog_samples[0]
        seconds = now - then.at
        if seconds < 1:
            return [None] * len(backlogs)
        (ended,) = await self._count([(int(then.at), "+inf")])
        half = len(PRIORITIES)
        return [
            max(0.0, (new - old + answered + failed) / seconds)
            for new, old, answered, failed in zip(backlogs, then.backlogs, ended[:half], ended[half:], strict=True)
        ]

    async def _count(self, spans: list[tuple[int, str]]) -> list[list[int]]:
        """Return the number of messages of each registry that ended in each span of seconds."""
        pipeline = self._redis.pipeline(transaction=False)
        for since, until in spans:
            for key, ttl in self._registries:
                pipeline.zcount(key, since + ttl, _shift_bound(until, ttl))
        counts: list[int] = await pipeline.execute()
        width = len(self._registries)
        return [counts[i : i + width] for i in range(0, len(counts), width)]


def _shift_bound(until: str, seconds: int) -> str:
    """Return an exclusive upper bound, moved by seconds. `+inf` stays."""
    return until if until == "+inf" else f"({int(until[1:]) + seconds}"
