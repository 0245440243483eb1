"""A deep queue: what a message takes in memory, and whether a claim becomes dearer with a million waiting."""

import time
from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

from bench import messages, report
from bench.measure import RedisWork, quantile
from bench.servers import Place
from msgctl.config import Settings
from msgctl.rqueue import Claims

SHALLOW = 1_000
CLAIMS = 2_000
ENOUGH = 10_000
"""Messages whose memory stands out from what Redis needs for itself."""
BATCH = 50


class Depth(msgspec.Struct, frozen=True):
    """What was measured with so many messages queued."""

    queued: int
    conversations: int
    memory: float
    """Bytes a message."""
    filling: float
    """Microseconds a message, hundreds in a round trip."""
    single: list[float]
    """Milliseconds of each claim of one message, as the worker waits for it."""
    batch: list[float]
    """Milliseconds of each claim of a batch."""
    redis_cpu: float
    """Microseconds for claim and commit of one message."""


async def measure(place: Place, redis: Redis, queued: int, conversations: int) -> list[Depth]:
    """Time claims in a shallow and in a deep queue."""
    await redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would be timed along
    return [
        await _measure(place.settings, redis, SHALLOW, SHALLOW // 10),
        await _measure(place.settings, redis, queued, conversations),
    ]


def table(depths: Sequence[Depth]) -> report.Table:
    """The depths as they are shown."""
    return report.Table(
        "A deep queue: claims as the worker sees them, round trip included",
        [
            *("queued, conversations", "bytes a message", "claim of 1, ms p50 / p99"),
            *(f"claim of {BATCH}, ms p50 / p99", "claim + commit, Redis CPU µs", "filled, µs a message"),
        ],
        [
            [
                f"{depth.queued:,} in {depth.conversations:,}",
                f"{depth.memory:,.0f}" if depth.queued >= ENOUGH else "",
                f"{quantile(depth.single, 0.5):.2f} / {quantile(depth.single, 0.99):.2f}",
                f"{quantile(depth.batch, 0.5):.2f} / {quantile(depth.batch, 0.99):.2f}",
                f"{depth.redis_cpu:,.0f}",
                f"{depth.filling:,.0f}",
            ]
            for depth in depths
        ],
    )


async def _measure(settings: Settings, redis: Redis, queued: int, conversations: int) -> Depth:
    """Fill the queue, then claim and commit as often as it allows, half of it in batches."""
    await redis.flushall()
    empty, begun = await RedisWork.so_far(redis), time.perf_counter()
    await messages.fill(redis, settings, count=queued, conversations=conversations)
    filling = time.perf_counter() - begun
    full = await RedisWork.so_far(redis)
    claims, worked = Claims(redis, settings, "bench"), min(queued // 2, CLAIMS)
    single = [await _time_claim(claims, 1) for _ in range(worked)]
    batch = [await _time_claim(claims, BATCH) for _ in range(worked // BATCH)]
    used = await RedisWork.so_far(redis) - full
    return Depth(
        queued=queued,
        conversations=conversations,
        memory=(full - empty).memory / queued,
        filling=filling / queued * 1e6,
        single=single,
        batch=batch,
        redis_cpu=used.cpu / (worked + len(batch) * BATCH) * 1e6,
    )


async def _time_claim(claims: Claims, slots: int) -> float:
    begun = time.perf_counter()
    claimed = await claims.claim(slots)
    milliseconds = (time.perf_counter() - begun) * 1000
    for one in claimed:
        await messages.commit(claims, one)
    return milliseconds
