"""Whether `make soak` tells memory that creeps from memory that does not."""

import asyncio
import csv
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.local.supervisor import ports
from msgctl.storage.redis.client import RedisClient
from tools.chaos.memory import Samples, Slope, Watched, besides_peaks, slope
from tools.support.daemons import Daemon, until

HALF_AN_HOUR = [(float(second), random.Random(second).gauss(0, 0.2)) for second in range(0, 1800, 2)]
"""Seconds, and noise of 0.2 % of a hundred."""


@pytest.mark.parametrize(
    ("grow", "holds"),
    [
        (lambda second: second * 0, True),
        (lambda second: second / 3600 * 0.5, True),
        (lambda second: second / 3600 * 3, False),
        (lambda second: -second / 3600 * 3, True),
        (lambda second: 4.0 * (second > 900), False),
        (lambda second: 9.0 * (second > 1600), True),
        (lambda second: random.Random(second // 180 + 7).gauss(0, 10), False),
        (lambda second: random.Random(second // 180).gauss(0, 5) - second / 3600 * 60, True),
    ],
    ids=[
        "flat",
        "half a percent",
        "three percent",
        "shrinking",
        "a step",
        "a burst at the end",
        "too wild to tell",
        "wild, but shrinking",
    ],
)
def test_what_creeps_is_found(grow: Callable[[float], float], holds: bool) -> None:
    """More than a percent an hour, and what cannot be judged, is too much."""
    found = slope("x", [(at, 100 + noise + grow(at)) for at, noise in HALF_AN_HOUR])
    assert found.holds is holds, found
    assert str(found).startswith("x: ")
    assert str(found).endswith("% an hour") is holds


def test_what_a_peak_leaves_is_no_leak() -> None:
    """What is held once more than ever was in use does not count; what is held without a peak does."""
    seconds = [float(second) for second in range(0, 1800, 2)]
    used = [(at, 100.0 + 50 * (at == 900)) for at in seconds]
    after_a_peak = [(at, 100.0 + 20 * (at >= 902)) for at in seconds]
    assert {value for _, value in besides_peaks(after_a_peak, used)} == {100.0}
    leaking = [(at, 100.0 + at / 3600 * 10) for at in seconds]
    found = slope("x", besides_peaks(leaking, used))
    assert found.percent == pytest.approx(10, rel=0.1)
    assert not found.holds


async def test_a_daemon_is_watched(settings: Settings, redis: RedisClient, tmp_path: Path) -> None:
    """What it holds and what it uses, and what Redis uses, in bytes that can be true; and all of it as CSV."""
    metrics = settings.metrics.model_copy(update={"port": ports.free_port()})
    begun = time.monotonic()
    async with Daemon("subscriber", settings.model_copy(update={"metrics": metrics})) as daemon:
        watched = Watched(daemon.process.pid, f"http://127.0.0.1:{metrics.port}/metrics")
        samples = Samples({"subscriber": watched}, redis)
        watching = asyncio.create_task(samples.watch())
        await samples.rest()
        await until(lambda: watching.done() or len(samples) >= 2, "two samples")
        await cancel(watching)
        await samples.rest()
    means = {one.name: one.mean for one in samples.slopes(begun)}
    assert any(name.startswith("subscriber MB") and 20 < mean < 500 for name, mean in means.items())
    assert 100 < means["subscriber thousand blocks in use"] < 2_000
    assert any(name.startswith("redis MB at rest") and 0 < mean < 1_000 for name, mean in means.items())
    samples.write(tmp_path / "memory.csv")
    rows = list(csv.DictReader((tmp_path / "memory.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(samples)
    assert rows[0].keys() == {"seconds", "redis MB", "subscriber MB", "subscriber thousand blocks in use"}


async def _growth(redis: RedisClient, then: Callable[[], Awaitable[object]]) -> Slope:
    samples = Samples({}, redis)
    begun = time.monotonic()
    watching = asyncio.create_task(samples.watch())
    await samples.rest()
    for part in range(20):  # 20 MB: the buffers of Redis's clients come and go by one
        await redis.mset({f"x{part}-{number}": "x" * 1_000 for number in range(1_000)})
    await then()
    await until(lambda: watching.done() or len(samples) >= 1, "a sample")
    await cancel(watching)

    async def is_at_rest() -> bool:
        memory = await redis.info("memory")
        return bool(memory["mem_aof_buffer"] < 100_000 and memory["lazyfree_pending_objects"] == 0)

    await until(is_at_rest, "Redis to have written and freed all")
    await samples.rest()
    [found] = samples.slopes(begun)
    return found


async def test_what_stays_in_redis_is_found(redis: RedisClient) -> None:
    """Memory that is over goes and does not count; what stays after a load does."""
    flat = await _growth(redis, redis.flushdb)
    creeping = await _growth(redis, redis.ping)
    assert not creeping.holds, creeping
    assert flat.percent < creeping.percent / 5, flat
