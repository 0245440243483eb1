"""How much memory processes hold and use over time, and whether that creeps."""

import asyncio
import csv
import itertools
import math
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from msgctl.storage.redis.client import RedisClient
from tools.bench.measure import memory

LOOK = 0.5
"""Seconds between two samples."""
STRETCHES = 10
"""What a line is laid through: neighbouring samples are alike, so that they tell less than they are many."""
ARENA = 1.048576
"""MB that Python takes at once: what a process holds tells no less."""
FOLLOWS = 5.0
"""Seconds within which what a process holds follows a new peak of what it has in use."""
MOST_SLOPE = 1.0
"""Percent an hour."""
MOST_ERROR = 5.0
"""The same of its standard error, beyond which nothing is known: the machine had other things to do."""
REDIS = "redis MB"
IN_USE = "thousand blocks in use"
HEAP = re.compile(r"^msgctl_heap_blocks (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Slope:
    """How one figure went."""

    name: str
    mean: float
    percent: float
    """An hour, of its mean."""
    error: float
    """The standard error of that, in the same unit."""

    @property
    def holds(self) -> bool:
        """Whether it is not above the bound by more than chance, twice its error, and is known at all.

        What is below the bound by more than that is known, whatever its error.
        """
        surely = self.percent + 2 * self.error < MOST_SLOPE
        return surely or (self.percent - 2 * self.error < MOST_SLOPE and self.error < MOST_ERROR)

    def __str__(self) -> str:
        known = self.error < MOST_ERROR or self.percent - 2 * self.error >= MOST_SLOPE
        judged = "" if self.holds else " TOO MUCH" if known else " TOO WILD TO TELL"
        return f"{self.name}: {self.mean:,.1f}, {self.percent:+.2f} ± {self.error:.2f} % an hour{judged}"


@dataclass(frozen=True)
class Watched:
    """A daemon whose memory is of interest."""

    pid: int
    metrics: str
    """The URL of its metrics."""


class Samples:
    """The memory of some daemons and of Redis, looked at again and again.

    Two figures each. What a process holds goes up with each new peak of what it has in use, and seldom comes down,
    since the allocator keeps it: what it gains besides is judged. What Python has in use comes down, and only a
    leak lifts its floor. What Redis uses goes up and down by a fifth within a minute, as it finds what has
    expired: it is judged at rest, before and after the load.

    Args:
        daemons: by name.
        redis: whose memory is watched, too.
    """

    def __init__(self, daemons: Mapping[str, Watched], redis: RedisClient) -> None:
        self._daemons = daemons
        self._redis = redis
        self._taken: list[tuple[float, dict[str, float]]] = []
        self._rests: list[tuple[float, float]] = []

    def __len__(self) -> int:
        """How often it was looked."""
        return len(self._taken)

    async def watch(self) -> None:
        """Take samples for ever."""
        while True:
            sizes = {REDIS: await self._used()}
            for name, daemon in self._daemons.items():
                sizes[f"{name} MB"] = memory(daemon.pid) / 1e6
                sizes[f"{name} {IN_USE}"] = await asyncio.to_thread(_heap, daemon.metrics) / 1e3
            self._taken.append((time.monotonic(), sizes))
            await asyncio.sleep(LOOK)

    async def rest(self) -> None:
        """Note what Redis uses now that everything is over: once before the load and once after it."""
        self._rests.append((time.monotonic(), await self._used()))

    def slopes(self, since: float) -> list[Slope]:
        """Of each figure.

        Args:
            since: the monotonic second from which they count.
        """
        found = [self._at_rest()]
        for name in self._daemons:
            held = [(at, sizes[f"{name} MB"]) for at, sizes in self._taken]
            used = [(at, sizes[f"{name} {IN_USE}"]) for at, sizes in self._taken]
            quiet = [(at, value) for at, value in besides_peaks(held, used) if at >= since]
            found.append(slope(f"{name} MB besides new peaks, {held[-1][1]:.0f} with them", quiet, grain=ARENA))
            # At the quietest moments, since what is under way is no leak.
            found.append(slope(f"{name} {IN_USE}", [(at, value) for at, value in used if at >= since], min))
        return found

    def write(self, path: Path) -> None:
        """All of them as CSV, a row each, the first column the seconds since the first."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["seconds", *self._taken[0][1]])
            for at, sizes in self._taken:
                writer.writerow([f"{value:.3f}" for value in (at - self._taken[0][0], *sizes.values())])

    def _at_rest(self) -> Slope:
        """What stays in Redis for good, in proportion to what it uses under load."""
        (begun, before), (ended, after) = self._rests
        loaded = statistics.fmean(sizes[REDIS] for _, sizes in self._taken)
        grown = (after - before) / loaded * 100
        name = f"{REDIS} at rest {before:.2f} before, {after:.2f} after, under load"
        return Slope(name, loaded, grown / ((ended - begun) / 3600), 0.0)

    async def _used(self) -> float:
        info = await self._redis.info("memory")
        return float(info["used_memory"]) / 1e6


def besides_peaks(
    held: Sequence[tuple[float, float]], used: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """What a process holds, less what it took while what it has in use met new peaks.

    A leak in the heap makes new peaks, and lifts the heap's floor: that tells it. Any other leak makes none.

    Args:
        held: seconds and values.
        used: the same of what it has in use, at the same seconds.
    """
    peak, peaked, taken, before = 0.0, -FOLLOWS, 0.0, held[0][1]
    left = []
    for (at, value), (_, in_use) in zip(held, used, strict=True):
        if in_use > peak:
            peak, peaked = in_use, at
        if at - peaked <= FOLLOWS:
            taken += max(0.0, value - before)
        before = value
        left.append((at, value - taken))
    return left


def slope(
    name: str,
    samples: Sequence[tuple[float, float]],
    middle: Callable[[list[float]], float] = statistics.fmean,
    *,
    grain: float = 0.0,
) -> Slope:
    """The line through the stretches of some samples, and how far chance may have tilted it.

    Sen's: the median of the slopes between any two of them, which a few bad minutes do not move; his interval
    gives the error (P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968).

    Args:
        name: of the figure.
        samples: seconds and values, at least three stretches of them.
        middle: what stands for the values of one stretch.
        grain: steps in which the value is known, in its unit.
    """
    size = max(1, len(samples) // STRETCHES)
    stretches = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    points = [
        (statistics.fmean(at for at, _ in stretch) / 3600, middle([value for _, value in stretch]))
        for stretch in stretches
    ]
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(points, 2))
    count = len(points)
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)  # of Kendall's statistic, by chance
    lower = slopes[max(0, math.floor((len(slopes) - deviation) / 2))]
    upper = slopes[min(len(slopes) - 1, math.ceil((len(slopes) + deviation) / 2))]
    rounding = grain / math.sqrt(6) / (points[-1][0] - points[0][0])  # two ends, each off by its share of a grain
    mean = statistics.fmean(value for _, value in points)
    error = math.hypot((upper - lower) / 2, rounding)
    return Slope(name, mean, statistics.median(slopes) / mean * 100, error / mean * 100)


def _heap(url: str) -> float:
    found = HEAP.search(requests.get(url, timeout=30).text)
    if not found:
        raise LookupError(f"{url} tells no msgctl_heap_blocks")
    return float(found[1])
