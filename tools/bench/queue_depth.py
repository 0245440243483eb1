"""A deep queue: what a message takes in memory, and whether a claim becomes dearer with a million waiting."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from msgctl.config.settings import Settings
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.storage.redis.client import RedisClient
from tools.bench import messages, report
from tools.bench.measure import RedisWork, quantile, slowest
from tools.bench.servers import Place

SHALLOW = 1_000
CLAIMS = 2_000
ENOUGH = 10_000
"""Messages whose memory stands out from what Redis needs for itself."""
BATCH = 50


class Timing(msgspec.Struct, frozen=True):
    """How long claims took."""

    waits: list[float]
    """Milliseconds of each, as the worker waits for it: round trip, and whatever else this machine does."""
    inside: float
    """Milliseconds inside Redis that 99 in 100 did not exceed, by its own histogram."""

    def __str__(self) -> str:
        return f"{quantile(self.waits, 0.5):.2f} / {quantile(self.waits, 0.99):.2f} / {self.inside:.2f}"


class Depth(msgspec.Struct, frozen=True):
    """What was measured with so many messages queued."""

    queued: int
    conversations: int
    memory: float
    """Bytes a message."""
    filling: float
    """Microseconds a message, hundreds in a round trip."""
    single: Timing
    """Claims of one message."""
    batch: Timing
    """Claims of `BATCH`."""
    redis_cpu: float
    """Microseconds for claim and commit of one message."""


async def measure(place: Place, redis: RedisClient, queued: int, conversations: int) -> list[Depth]:
    """Time claims in a shallow and in a deep queue."""
    await redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would be timed along
    return [
        await _measure(place.settings, redis, SHALLOW, SHALLOW),
        await _measure(place.settings, redis, queued, conversations),
    ]


def table(depths: Sequence[Depth]) -> report.Table:
    """The depths as they are shown."""
    return report.Table(
        "A deep queue: claims in ms, as the worker waits for them p50 / p99 / inside Redis p99",
        [
            *("queued, conversations", "bytes a message", "claim of 1", f"claim of {BATCH}"),
            *("claim + commit, Redis CPU µs", "filled, µs a message"),
        ],
        [
            [
                f"{depth.queued:,} in {depth.conversations:,}",
                f"{depth.memory:,.0f}" if depth.queued >= ENOUGH else "",
                str(depth.single),
                str(depth.batch),
                f"{depth.redis_cpu:,.0f}",
                f"{depth.filling:,.0f}",
            ]
            for depth in depths
        ],
    )


async def _measure(settings: Settings, redis: RedisClient, queued: int, conversations: int) -> Depth:
    """Fill the queue, then claim as often as it allows, half of it in batches, and commit what was claimed."""
    await redis.flushall()
    empty, begun = await RedisWork.so_far(redis), time.perf_counter()
    await messages.fill(redis, settings, count=queued, conversations=conversations)
    filling = time.perf_counter() - begun
    full = await RedisWork.so_far(redis)
    claims, worked = LeaseClient(redis, settings, "bench"), min(queued // 2, CLAIMS)
    await messages.commit(claims, (await claims.claim(1))[0])  # Redis knows the scripts from now on
    single = await _time_claims(redis, claims, worked, 1)
    batch = await _time_claims(redis, claims, worked // BATCH, BATCH)
    used = await RedisWork.so_far(redis) - full
    return Depth(
        queued=queued,
        conversations=conversations,
        memory=(full - empty).memory / queued,
        filling=filling / queued * 1e6,
        single=single,
        batch=batch,
        redis_cpu=used.cpu / (worked + worked // BATCH * BATCH) * 1e6,
    )


async def _time_claims(redis: RedisClient, claims: LeaseClient, count: int, slots: int) -> Timing:
    """Claim so many times, one after the other; what was claimed is committed after them all."""
    await redis.config_resetstat()
    claimed: list[LeasedMessage] = []
    waits: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        claimed += await claims.claim(slots)
        waits.append((time.perf_counter() - begun) * 1000)
    inside = await slowest(redis, "evalsha", 0.99)
    await asyncio.gather(*(messages.commit(claims, one) for one in claimed))
    return Timing(waits, inside / 1000)
