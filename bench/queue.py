"""`make bench-queue`: the queue alone, no-op jobs, beside stock RQ on the same server in the same run."""

import argparse
import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from redis.asyncio import Redis

from bench import depth, inflight, report
from bench.children import Cost, run_contender
from bench.measure import median
from bench.servers import Place, place
from msgctl.redisdb import connect

CONTENDERS = {
    "rq-fork": "RQ `Worker`",
    "rq-simple": "RQ `SimpleWorker`",
    "ours": "msgctl worker",
    "ours-claims": "msgctl, bare scripts",
}
FILLED_BY = {"rq-fork": "rq-simple", "rq-simple": "rq-simple", "ours": "ours", "ours-claims": "ours"}
CONCURRENCY = 50
IDLE_SECONDS = 5


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are shown (3)")
    parser.add_argument("--jobs", type=int, default=10_000, help="no-op jobs for our worker (10000)")
    parser.add_argument("--stock-jobs", type=int, default=1_000, help="for SimpleWorker, a fifth of it for Worker")
    parser.add_argument("--queued", type=int, default=1_000_000, help="queued messages when claims are timed")
    parser.add_argument("--conversations", type=int, default=100_000, help="conversations they are in")
    parser.add_argument("--calls", type=int, default=4_000, help="messages of the n8n test, 1,000 of 2 s at once")
    parser.add_argument("--short", action="store_true", help="a minute's worth of all of it")
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.jobs, arguments.stock_jobs, arguments.calls = 3_000, 300, 2_000
        arguments.queued, arguments.conversations = 20_000, 2_000
    return arguments


async def main(arguments: argparse.Namespace) -> None:
    """Measure everything, show it, and write it down if asked to."""
    async with place() as here, connect(here.settings) as redis:
        here.configure({("worker", "concurrency"): CONCURRENCY})
        tables = [await compare(here, redis, arguments), await measure_idling(here, redis)]
        tables.append(await depth.measure(here, redis, arguments.queued, arguments.conversations))
        await redis.flushall()
        tables.append(await inflight.measure(here, redis, arguments.calls))
        report.publish("Queue alone", "make bench-queue", tables, arguments.write)


async def compare(here: Place, redis: Redis, arguments: argparse.Namespace) -> report.Table:
    """No-op jobs: each contender's queue is filled one job at a time, then drained by one process."""
    fills: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    drains: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    for _ in range(arguments.rounds):
        for name in CONTENDERS:
            await redis.flushall()
            jobs = {"rq-simple": arguments.stock_jobs, "rq-fork": arguments.stock_jobs // 5}.get(
                name, arguments.jobs
            )
            fills[name].append(await run_contender(here, redis, FILLED_BY[name], "fill", jobs))
            drains[name].append(await run_contender(here, redis, name, "drain", jobs))
    rate = {name: _median(drains[name], lambda cost: cost.rate) for name in CONTENDERS}
    rows = [
        [
            CONTENDERS[name],
            f"{rate[name]:,.0f}",
            f"{rate[name] / rate['rq-simple']:.1f} x",
            f"{_median(drains[name], lambda cost: cost.cpu):,.0f}",
            f"{_median(drains[name], lambda cost: cost.round_trips):.2f}",
            f"{_median(drains[name], lambda cost: cost.commands):.1f}",
            f"{_median(drains[name], lambda cost: cost.redis_cpu):,.0f}",
            f"{_median(fills[name], lambda cost: cost.cpu):,.0f}",
            f"{_median(fills[name], lambda cost: cost.redis_cpu):,.0f}",
        ]
        for name in CONTENDERS
    ]
    heading = ["one process", "jobs/s", "of SimpleWorker", "worker CPU µs", "round trips", "Redis commands"]
    return report.Table(
        f"No-op jobs, a job's cost; {CONCURRENCY} at once where a worker can; medians of {arguments.rounds}",
        [*heading, "Redis CPU µs", "enqueue CPU µs", "enqueue Redis µs"],
        rows,
    )


async def measure_idling(here: Place, redis: Redis) -> report.Table:
    """What a worker costs that has nothing to do."""
    await redis.flushall()
    cost = await run_contender(here, redis, "ours", "idle", IDLE_SECONDS)
    row = [f"{cost.cpu / 1e4:.2f} %", f"{cost.redis_cpu / 1e4:.2f} %", f"{cost.round_trips:.1f}"]
    return report.Table("An idle worker, share of a core", ["worker", "Redis", "round trips a second"], [row])


def _median(costs: Sequence[Cost], value: Callable[[Cost], float]) -> float:
    return median(map(value, costs))


if __name__ == "__main__":
    asyncio.run(main(parse()))
