"""`make bench-quick`: the ratios that must hold on any machine, however busy; exits with 1 if one does not.

They leave a factor of about two to what is measured, so that they fail on a change and not on a neighbour.
"""

import asyncio
import sys
from collections.abc import Iterator

import msgspec

from bench import contest, depth, report
from bench.servers import place
from msgctl.redisdb import connect

CONCURRENCY = 50
ROUNDS = 3
JOBS, STOCK_JOBS = 3_000, 300
QUEUED, CONVERSATIONS = 50_000, 5_000


class Guard(msgspec.Struct, frozen=True):
    """A figure and its bound."""

    text: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def to_row(self) -> list[str]:
        """The guard as a row of a table."""
        sign = "≥" if self.at_least else "≤"
        return [self.text, f"{self.value:.2f}", f"{sign} {self.bound:g}", "yes" if self.holds else "NO"]


async def main() -> bool:
    """Measure, show, and tell whether all guards hold."""
    async with place() as here, connect(here.settings) as redis:
        here.configure({("worker", "concurrency"): CONCURRENCY})
        results = await contest.hold(here, redis, rounds=ROUNDS, jobs=JOBS, stock_jobs=STOCK_JOBS)
        depths = await depth.measure(here, redis, QUEUED, CONVERSATIONS)
    guards = [*_guard_contest(results["ours"], results["rq-simple"]), *_guard_depth(*depths)]
    tables = [
        contest.table(results, rounds=ROUNDS, concurrency=CONCURRENCY),
        depth.table(depths),
        report.Table("Guards", ["figure", "measured", "bound", "holds"], [guard.to_row() for guard in guards]),
    ]
    report.publish("Guards", "make bench-quick", tables, None)
    return all(guard.holds for guard in guards)


def _guard_contest(ours: contest.Result, stock: contest.Result) -> Iterator[Guard]:
    yield Guard("jobs/s, ours to RQ's SimpleWorker", ours.rate / stock.rate, 7, at_least=True)
    yield Guard("worker CPU a job, SimpleWorker's to ours", stock.cpu / ours.cpu, 6, at_least=True)
    yield Guard("Redis CPU a job, ours to SimpleWorker's", ours.redis_cpu / stock.redis_cpu, 0.5)
    yield Guard("round trips a job, ours", ours.round_trips, 1.2)
    yield Guard("enqueue CPU, ours to RQ's", ours.enqueue_cpu / stock.enqueue_cpu, 1.2)


def _guard_depth(shallow: depth.Depth, deep: depth.Depth) -> Iterator[Guard]:
    text = f"Redis CPU of claim and commit, {deep.queued:,} queued to {shallow.queued:,}"
    yield Guard(text, deep.redis_cpu / shallow.redis_cpu, 2)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
