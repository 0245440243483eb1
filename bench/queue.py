"""`make bench-queue`: the queue alone, no-op jobs, beside stock RQ on the same server in the same run."""

import argparse
import asyncio
from pathlib import Path

from bench import contest, daemon, depth, report
from bench.servers import place
from msgctl.redisdb import connect

CONCURRENCY = 50


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are shown (3)")
    parser.add_argument("--jobs", type=int, default=10_000, help="no-op jobs for our worker (10000)")
    parser.add_argument("--stock-jobs", type=int, default=1_000, help="for SimpleWorker, a fifth of it for Worker")
    parser.add_argument("--queued", type=int, default=1_000_000, help="queued messages when claims are timed")
    parser.add_argument("--conversations", type=int, default=100_000, help="conversations they are in")
    parser.add_argument("--calls", type=int, default=5_000, help="messages of the n8n test, 1,000 of 2 s at once")
    parser.add_argument("--short", action="store_true", help="all of it in a minute or two, with smaller numbers")
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
        results = await contest.hold(
            here, redis, rounds=arguments.rounds, jobs=arguments.jobs, stock_jobs=arguments.stock_jobs
        )
        tables = [contest.table(results, rounds=arguments.rounds, concurrency=CONCURRENCY)]
        depths = await depth.measure(here, redis, arguments.queued, arguments.conversations)
        tables.append(depth.table(depths))
        await redis.flushall()
        tables += await daemon.measure(here, redis, arguments.calls)
    report.publish("Queue alone", "make bench-queue", tables, arguments.write)


if __name__ == "__main__":
    asyncio.run(main(parse()))
