"""The reader of the overview: a few round trips, whose cost does not grow with the queue."""

import asyncio
from typing import Any

from msgctl.channels.names import channel_names
from msgctl.domain.messages import PRIORITIES
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context, Operation
from msgctl.operations.dashboard.snapshot import (
    BUCKET_S,
    AnswerTimes,
    BreakerRow,
    ChannelRow,
    PriorityRow,
    Snapshot,
    WorkerRow,
)
from msgctl.operations.dashboard.throughput import Throughput
from msgctl.operations.workers import Workers
from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import Script

SAMPLE_BACKLOG = Script.beside(__file__, "sample_backlog")
BACKLOG_SAMPLE_SIZE = 50
"""Entries of the response stream that one sample reads."""
RATE_BUCKETS = 3
"""Complete buckets over which a rate is averaged."""

StateCounts = tuple[int, int, int]
"""The numbers of waiting, active, and delayed messages."""


class Overview(Operation):
    """Reads a snapshot of the pipeline. Keep one instance for repeated reads: it caches past buckets."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._health_check = HealthCheck(context)
        self._workers = Workers(context)
        self._throughput = Throughput(context.redis, context.settings)

    async def read(self) -> Snapshot:
        """Read a snapshot.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        seconds, microseconds = await self._redis.time()
        now = seconds + microseconds / 1e6
        health, workers, (times, backlogs, undelivered, partial), channels, breakers = await asyncio.gather(
            self._health_check.run(),
            self._workers.list_alive(),
            self._sample(),
            self._channel_states(),
            self._breakers(now),
        )
        counts, ages, (answered, failed) = await asyncio.gather(
            self._counts(), self._ages(now), self._throughput.ended_per_bucket(now)
        )
        rates = await self._throughput.arrival_rates(now, [sum(row) for row in counts])
        return Snapshot(
            at=round(now * 1000),
            health=health,
            priorities=_priorities(counts, ages, rates, answered, failed),
            workers=[_worker(worker) for worker in workers],
            channels=[
                _channel(channel, backlogs.get(channel, 0), fields, held, now)
                for channel, (fields, held) in zip(channel_names(), channels, strict=True)
            ],
            undelivered=undelivered + sum(held for _, held in channels),
            backlog_is_partial=partial,
            breakers=breakers,
            answer_times=times,
            answered=[sum(bucket) for bucket in zip(*answered, strict=True)],
            failed=[sum(bucket) for bucket in zip(*failed, strict=True)],
        )

    async def _counts(self) -> list[StateCounts]:
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.llen(keys.RQ_QUEUE + queue)
            for registry in (keys.RQ_DEFERRED, keys.RQ_WIP, keys.RQ_SCHEDULED):
                pipeline.zcard(registry + queue)
        found = await pipeline.execute()
        return [
            (queued + deferred, active, delayed)
            for queued, deferred, active, delayed in zip(*(found[i::4] for i in range(4)), strict=True)
        ]

    async def _ages(self, now: float) -> list[float | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.lindex(keys.RQ_QUEUE + queue, 0)
        heads = await pipeline.execute()
        for head in heads:
            pipeline.hget(keys.job_key(head or ""), keys.FIELD_READY)
        return [max(0.0, now - int(ready) / 1000) if ready else None for ready in await pipeline.execute()]

    async def _sample(self) -> tuple[AnswerTimes | None, dict[str, int], int, bool]:
        times, flat, total, partial = await SAMPLE_BACKLOG(self._redis, BACKLOG_SAMPLE_SIZE)
        return _answer_times(times), dict(zip(flat[::2], flat[1::2], strict=True)), total, bool(partial)

    async def _channel_states(self) -> list[tuple[dict[str, str], int]]:
        """Return the stored state of each channel, and the number of deliveries that it holds."""
        pipeline = self._redis.pipeline(transaction=False)
        for channel in channel_names():
            pipeline.hgetall(keys.CHANNEL_STATE + channel)
            pipeline.zcard(keys.HELD + channel)
        found = await pipeline.execute()
        return list(zip(found[::2], found[1::2], strict=True))

    async def _breakers(self, now: float) -> list[BreakerRow]:
        found: dict[str, str] = await self._redis.hgetall(keys.BREAKERS)
        rows = []
        for workflow, fields in sorted(found.items()):
            until, _, openings = fields.partition(" ")
            seconds = max(0.0, int(until) / 1000 - now)
            rows.append(BreakerRow(workflow=workflow, seconds=round(seconds, 1), openings=int(openings or 0)))
        return rows


def _priorities(
    counts: list[StateCounts],
    ages: list[float | None],
    rates: list[float | None],
    answered: list[list[int]],
    failed: list[list[int]],
) -> list[PriorityRow]:
    return [
        PriorityRow(
            priority=priority,
            waiting=waiting,
            active=active,
            delayed=delayed,
            oldest=age,
            rate_in=rate,
            rate_out=_recent_rate(done) + _recent_rate(dead),
            trend=done,
        )
        for priority, (waiting, active, delayed), age, rate, done, dead in zip(
            PRIORITIES, counts, ages, rates, answered, failed, strict=True
        )
    ]


def _recent_rate(buckets: list[int]) -> float:
    """Return the messages per second in the last complete buckets."""
    return sum(buckets[-RATE_BUCKETS - 1 : -1]) / (RATE_BUCKETS * BUCKET_S)


def _channel(channel: str, backlog: int, fields: dict[str, str], held: int, now: float) -> ChannelRow:
    broken = float(fields.get("openUntil", 0)) > now * 1000
    return ChannelRow(
        channel=str(channel),
        backlog=backlog + held,
        state="paused" if "pausedAt" in fields else "broken" if broken else "open",
        reason=fields.get("reason", ""),
    )


def _worker(worker: dict[str, Any]) -> WorkerRow:
    return WorkerRow(
        name=worker["name"],
        state=worker["state"] or "?",
        host=worker["host"] or "?",
        pid=worker["pid"],
        running=worker["running"],
        slots=worker["slots"],
        last_seen=worker["lastSeenAt"] or "",
        order=worker["order"],
    )


def _answer_times(times: list[int]) -> AnswerTimes | None:
    if not times:
        return None
    ordered = sorted(times)
    p50, p95 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    return AnswerTimes(count=len(ordered), p50=p50, p95=p95)
