"""`make bench-quick`: the ratios that must hold on any machine, however busy; exits with 1 if one does not.

They leave a factor of about two to what is measured, so that they fail on a change and not on a neighbour. What is
counted, round trips and commands, no neighbour can change; CPU seconds are held against RQ's in the same run.
"""

import asyncio
import sys
from collections.abc import Iterator

import msgspec

from msgctl.local.servers.postgres import PostgresServer
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tools.bench import pipelines, queue_compare, queue_depth, report
from tools.bench.daemon import add_agents, n8n
from tools.bench.load import AGENTS, Outcome, run_load
from tools.bench.measure import RedisWork
from tools.bench.servers import Place, place

CONCURRENCY = 50
ROUNDS = 3
JOBS, STOCK_JOBS = 3_000, 300
QUEUED, CONVERSATIONS = 50_000, 5_000
MESSAGES, INFLIGHT = 1_000, 100
PACED, PACE = 300, 50


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


class Way(msgspec.Struct, frozen=True):
    """What the whole way of a message costs, REST in and WebSocket out."""

    outcome: Outcome
    cpu: float
    """Of gateway, worker and subscriber, microseconds a message."""
    round_trips: float
    commands: float


async def main() -> bool:
    """Measure, show, and tell whether all guards hold."""
    async with place() as here, connect(here.settings) as redis:
        here.configure({("worker", "concurrency"): CONCURRENCY})
        results = await queue_compare.hold(here, redis, rounds=ROUNDS, jobs=JOBS, stock_jobs=STOCK_JOBS)
        depths = await queue_depth.measure(here, redis, QUEUED, CONVERSATIONS)
        full, paced = await _go_the_way(here, redis)
    stock = results["rq-simple"]
    guards = [*_guard_contest(results["ours"], stock), *_guard_depth(*depths), *_guard_way(full, paced, stock)]
    tables = [
        queue_compare.table(results, rounds=ROUNDS, concurrency=CONCURRENCY),
        queue_depth.table(depths),
        report.Table("Guards", ["figure", "measured", "bound", "holds"], [guard.to_row() for guard in guards]),
    ]
    report.publish("Guards", "make bench-quick", tables, None)
    return all(guard.holds for guard in guards)


async def _go_the_way(here: Place, redis: RedisClient) -> tuple[Way, Way]:
    """The whole pipeline at saturation, and at 50 messages a second."""
    await redis.flushall()
    async with PostgresServer(here.folder / "postgres", durable=False) as postgres, n8n(0) as url:
        here.configure({("postgres", "url"): postgres.url(), ("n8n", "base_url"): url})
        await migrate(here.settings)
        await add_agents(postgres.url(), AGENTS)
        async with pipelines.ours(here, CONCURRENCY) as running:
            await run_load(running.base, None, count=INFLIGHT, delay=0, inflight=INFLIGHT)  # connections, caches
            full = await _load(running, redis, MESSAGES, inflight=INFLIGHT)
            return full, await _load(running, redis, PACED, rate=PACE)


async def _load(
    running: pipelines.Fleet, redis: RedisClient, count: int, *, inflight: int = 0, rate: float = 0
) -> Way:
    before, cpu = await RedisWork.so_far(redis), sum(running.cpu().values())
    outcome = await run_load(running.base, None, count=count, delay=0, inflight=inflight, rate=rate)
    used = await RedisWork.so_far(redis) - before
    spent = sum(running.cpu().values()) - cpu
    return Way(outcome, spent / count * 1e6, used.reads / count, used.commands / count)


def _guard_way(full: Way, paced: Way, stock: queue_compare.Result) -> Iterator[Guard]:
    lost = sum(way.outcome.lost + way.outcome.duplicates for way in (full, paced))
    yield Guard("whole way: lost or doubled", lost, 0)
    yield Guard("whole way, saturated: CPU a message to SimpleWorker's for a job", full.cpu / stock.cpu, 0.7)
    yield Guard("whole way, saturated: round trips a message", full.round_trips, 3)
    yield Guard("whole way, saturated: Redis commands a message", full.commands, 110)
    yield Guard("whole way, 50/s: round trips a message", paced.round_trips, 14)


def _guard_contest(ours: queue_compare.Result, stock: queue_compare.Result) -> Iterator[Guard]:
    yield Guard("jobs/s, ours to RQ's SimpleWorker", ours.rate / stock.rate, 7, at_least=True)
    yield Guard("worker CPU a job, SimpleWorker's to ours", stock.cpu / ours.cpu, 6, at_least=True)
    yield Guard("Redis CPU a job, ours to SimpleWorker's", ours.redis_cpu / stock.redis_cpu, 0.5)
    yield Guard("round trips a job, ours", ours.round_trips, 1.2)
    yield Guard("enqueue CPU, ours to RQ's", ours.enqueue_cpu / stock.enqueue_cpu, 1.2)


def _guard_depth(shallow: queue_depth.Depth, deep: queue_depth.Depth) -> Iterator[Guard]:
    text = f"Redis CPU of claim and commit, {deep.queued:,} queued to {shallow.queued:,}"
    yield Guard(text, deep.redis_cpu / shallow.redis_cpu, 2)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
