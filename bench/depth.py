"""A deep queue: what a message takes in memory, and whether a claim becomes dearer with a million waiting."""

import time

import msgspec
from redis.asyncio import Redis

from bench import messages, report
from bench.measure import RedisWork, quantile
from bench.servers import Place
from msgctl.config import Settings
from msgctl.rqueue import Claims

SHALLOW = 1_000
CLAIMS = 2_000
BATCH = 50


class Timing(msgspec.Struct, frozen=True):
    """How long claims took, and what a message cost Redis."""

    single: list[float]
    """Milliseconds of each claim of one message, as the worker waits for it."""
    batch: list[float]
    """Milliseconds of each claim of a batch."""
    redis_cpu: float
    """Microseconds for claim and commit of one message."""


async def measure(place: Place, redis: Redis, queued: int, conversations: int) -> report.Table:
    """Time claims in a shallow and in a deep queue."""
    settings = place.settings
    await redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would be timed along
    rows = []
    for count, among in ((SHALLOW, SHALLOW // 10), (queued, conversations)):
        await redis.flushall()
        before = await RedisWork.so_far(redis)
        begun = time.perf_counter()
        await messages.fill(redis, settings, count=count, conversations=among)
        filling = time.perf_counter() - begun
        growth = (await RedisWork.so_far(redis) - before).memory
        timing = await _time_claims(redis, settings, count)
        rows.append(
            [
                f"{count:,} in {among:,}",
                f"{growth / count:,.0f}",
                f"{quantile(timing.single, 0.5):.2f} / {quantile(timing.single, 0.99):.2f}",
                f"{quantile(timing.batch, 0.5):.2f} / {quantile(timing.batch, 0.99):.2f}",
                f"{timing.redis_cpu:,.0f}",
                f"{filling / count * 1e6:,.0f}",
            ]
        )
    return report.Table(
        "A deep queue: claims as the worker sees them, round trip included",
        [
            *("queued, conversations", "bytes a message", "claim of 1, ms p50 / p99"),
            *(f"claim of {BATCH}, ms p50 / p99", "claim + commit, Redis CPU µs", "filled, µs a message"),
        ],
        rows,
    )


async def _time_claims(redis: Redis, settings: Settings, count: int) -> Timing:
    """Claim and commit as often as the queue allows, half of it in batches."""
    claims = Claims(redis, settings, "bench")
    before = await RedisWork.so_far(redis)
    worked = min(count // 2, CLAIMS)
    single = [await _time_claim(claims, 1) for _ in range(worked)]
    batch = [await _time_claim(claims, BATCH) for _ in range(worked // BATCH)]
    used = await RedisWork.so_far(redis) - before
    return Timing(single, batch, used.cpu / (worked + len(batch) * BATCH) * 1e6)


async def _time_claim(claims: Claims, slots: int) -> float:
    begun = time.perf_counter()
    claimed = await claims.claim(slots)
    milliseconds = (time.perf_counter() - begun) * 1000
    for one in claimed:
        await messages.commit(claims, one)
    return milliseconds
