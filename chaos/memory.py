"""How much memory processes hold and use over time, and whether that creeps."""

import asyncio
import csv
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from redis.asyncio import Redis

from bench.measure import memory

LOOK = 2.0
"""Seconds between two samples."""
STRETCHES = 10
"""What a line is laid through: neighbouring samples are alike, so that they tell less than they are many."""
MOST_SLOPE = 1.0
"""Percent an hour."""
MOST_ERROR = 5.0
"""The same of its standard error, beyond which nothing is known: the machine had other things to do."""
REDIS = "redis MB"
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
        return f"{self.name}: {self.mean:,.1f}, {self.percent:+.2f} ± {self.error:.2f} % an hour"


@dataclass(frozen=True)
class Watched:
    """A daemon whose memory is of interest."""

    pid: int
    metrics: str
    """The URL of its metrics."""


class Samples:
    """The memory of some daemons and of Redis, looked at again and again.

    Two figures each. What a process holds goes up with each new peak and seldom comes down, since the allocator
    keeps it; what Python has in use comes down, and only a leak lifts its floor. What Redis uses goes up and down
    by a fifth within a minute, as it finds what has expired: it is judged at rest, before and after the load.

    Args:
        daemons: by name.
        redis: whose memory is watched, too.
    """

    def __init__(self, daemons: Mapping[str, Watched], redis: Redis) -> None:
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
                sizes[f"{name} thousand blocks in use"] = await asyncio.to_thread(_heap, daemon.metrics) / 1e3
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
        taken = [(at, sizes) for at, sizes in self._taken if at >= since]
        found = [self._at_rest()]
        for name in taken[0][1].keys() - {REDIS}:
            middle = _floor if "in use" in name else statistics.fmean
            found.append(slope(name, [(at, sizes[name]) for at, sizes in taken], middle))
        return sorted(found, key=lambda one: one.name)

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


def slope(name: str, samples: Sequence[tuple[float, float]], middle: Callable[[list[float]], float]) -> Slope:
    """The line by least squares through the stretches of some samples, and how far chance may have tilted it.

    Args:
        name: of the figure.
        samples: seconds and values, at least three stretches of them.
        middle: what stands for the values of one stretch.
    """
    size = max(1, len(samples) // STRETCHES)
    stretches = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    times = [statistics.fmean(at for at, _ in stretch) / 3600 for stretch in stretches]
    values = [middle([value for _, value in stretch]) for stretch in stretches]
    mean = statistics.fmean(values)
    line = statistics.linear_regression(times, values)
    residuals = sum((y - line.intercept - line.slope * x) ** 2 for x, y in zip(times, values, strict=True))
    spread = sum((x - statistics.fmean(times)) ** 2 for x in times)
    error = (residuals / max(1, len(times) - 2) / spread) ** 0.5
    return Slope(name, mean, line.slope / mean * 100, error / mean * 100)


def _floor(values: list[float]) -> float:
    """What is in use while little is under way: the lowest tenth."""
    return statistics.quantiles(values, n=10)[0] if len(values) > 1 else values[0]


def _heap(url: str) -> float:
    found = HEAP.search(requests.get(url, timeout=30).text)
    if not found:
        raise LookupError(f"{url} tells no msgctl_heap_blocks")
    return float(found[1])
