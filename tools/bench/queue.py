"""`make bench-queue`: the queue alone, no-op jobs, beside stock RQ on the same server in the same run."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgctl.storage.redis.connections import connect
from tools.bench import daemon, queue_compare, queue_depth, report, scaling
from tools.bench.servers import place

CONCURRENCY = 50


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.queue", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are shown (3)")
    parser.add_argument("--jobs", type=int, default=10_000, help="no-op jobs for our worker (10000)")
    parser.add_argument("--stock-jobs", type=int, default=1_000, help="for SimpleWorker, a fifth of it for Worker")
    parser.add_argument("--queued", type=int, default=1_000_000, help="queued messages when claims are timed")
    parser.add_argument("--conversations", type=int, default=100_000, help="conversations they are in")
    parser.add_argument("--growth", type=int, default=40_000, help="messages where growth is measured (40000)")
    parser.add_argument("--calls", type=int, default=10_000, help="messages of the n8n test, 1,000 of 2 s at once")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these (all)")
    parser.add_argument("--short", action="store_true", help="all of it in a minute or two, with smaller numbers")
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.jobs, arguments.stock_jobs, arguments.calls = 3_000, 300, 2_000
        arguments.queued, arguments.conversations, arguments.growth = 20_000, 2_000, 4_000
    return arguments


async def measure_contest(arguments: argparse.Namespace) -> list[report.Table]:
    """No-op jobs beside RQ."""
    async with place() as here, connect(here.settings) as redis:
        here.configure({("worker", "concurrency"): CONCURRENCY})
        results = await queue_compare.hold(
            here, redis, rounds=arguments.rounds, jobs=arguments.jobs, stock_jobs=arguments.stock_jobs
        )
    return [queue_compare.table(results, rounds=arguments.rounds, concurrency=CONCURRENCY)]


async def measure_depth(arguments: argparse.Namespace) -> list[report.Table]:
    """Claims from a deep queue, and its memory."""
    async with place() as here, connect(here.settings) as redis:
        return [
            queue_depth.table(await queue_depth.measure(here, redis, arguments.queued, arguments.conversations))
        ]


async def measure_growth(arguments: argparse.Namespace) -> list[report.Table]:
    """More conversations, more workers."""
    async with place() as here, connect(here.settings) as redis:
        here.configure({("worker", "concurrency"): CONCURRENCY})
        return [
            scaling.table(await scaling.measure(here, redis, rounds=arguments.rounds, queued=arguments.growth))
        ]


async def measure_worker(arguments: argparse.Namespace) -> list[report.Table]:
    """A worker process with nothing to do, and one with a thousand calls of n8n."""
    async with place() as here, connect(here.settings) as redis:
        return await daemon.measure(here, redis, arguments.calls)


PARTS: dict[str, Callable[[argparse.Namespace], Awaitable[list[report.Table]]]] = {
    "contest": measure_contest,
    "depth": measure_depth,
    "growth": measure_growth,
    "worker": measure_worker,
}
"""Each on a server of its own: one that has just forgotten a million keys is still busy with them."""


async def main(arguments: argparse.Namespace) -> None:
    """Measure everything, show it, and write it down if asked to."""
    tables = []
    for part in arguments.parts:
        begun = time.monotonic()
        tables += await PARTS[part](arguments)
        sys.stderr.write(f"{part}: measured in {time.monotonic() - begun:.0f} s\n")
    report.publish("Queue alone", "make bench-queue", tables, arguments.write)


if __name__ == "__main__":
    asyncio.run(main(parse()))
