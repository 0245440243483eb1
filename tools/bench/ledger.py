"""What the ledger costs: the same messages with and without it, in turns, and what the projector adds.

    python -m tools.bench.ledger [--count 5000] [--rounds 7]

Each round enqueues, claims and commits so many messages twice: once by the scripts as they are, once by the same
scripts with an empty `record_event`. Counted are CPU seconds, Redis's by its own account and this process's: a
busy machine disturbs little. Told is the median of the rounds. The projector then carries the events of each round
into PostgreSQL.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import uvloop

from msgctl.config.settings import Settings
from msgctl.ledger.projector import Projector
from msgctl.local.servers.postgres import PostgresServer
from msgctl.queue import leases, queue
from msgctl.queue.leases import LeaseClient
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from msgctl.storage.redis.lua import Script
from tools.bench import messages
from tools.bench.measure import RedisWork, cpu_seconds, descendants
from tools.bench.servers import place

SCRIPTS: Sequence[Script] = (queue.ENQUEUE, leases.CLAIM, leases.COMMIT)
NOTE = re.compile(r"(local function record_event\([^\n]*\n)[^\n]*XADD[^\n]*\n")
AT_ONCE = 10
"""Messages claimed and committed side by side, as a worker with ten slots does."""


class Cost(msgspec.Struct, frozen=True):
    """Microseconds of CPU a message."""

    redis: float
    python: float
    postgres: float = 0.0


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="What the ledger costs.")
    parser.add_argument("--count", type=int, default=5000, help="messages a round")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the median is told")
    arguments = parser.parse_args()
    uvloop.run(_measure(arguments.count, arguments.rounds))


async def _measure(count: int, rounds: int) -> None:
    found: dict[str, list[Cost]] = {"without": [], "with": [], "projector": []}
    async with place() as bench, PostgresServer(bench.folder / "postgres") as postgres:
        bench.configure({("postgres", "url"): postgres.url()})
        settings = bench.settings
        await migrate(settings)
        async with connect(settings) as redis, Database(settings) as database:
            for number in range(rounds):
                for name in ("without", "with") if number % 2 else ("with", "without"):
                    found[name].append(await _work(redis, settings, count, silent=name == "without"))
                    if name == "with":
                        projector = Projector(redis, settings, database)
                        found["projector"].append(await _project(redis, projector, postgres, count))
            await redis.config_resetstat()
            bytes_each = await _bytes_an_event(redis, settings, count)
            xadd = await _microseconds_an_event(redis)
    _tell(found, count)
    sys.stdout.write(f"an event: {bytes_each:.0f} bytes in Redis, XADD takes {xadd:.1f} µs by commandstats\n")


async def _work(redis: RedisClient, settings: Settings, count: int, *, silent: bool) -> Cost:
    """Enqueue, claim and commit so many messages in an empty Redis."""
    await redis.flushdb()
    with _silenced() if silent else _as_it_is():
        before, begun = await RedisWork.so_far(redis), time.process_time()
        await messages.fill(redis, settings, count=count, conversations=count)
        worker = LeaseClient(redis, settings, "bench")
        while claimed := await worker.claim(AT_ONCE):
            await asyncio.gather(*map(partial(messages.commit, worker), claimed))
        python = time.process_time() - begun
        after = await RedisWork.so_far(redis)
    events = await redis.xlen(keys.EVENTS)
    if events != (0 if silent else 3 * count):
        raise RuntimeError(f"{events} events of {count} messages: the comparison is none")
    return Cost(redis=(after - before).cpu / count * 1e6, python=python / count * 1e6)


async def _project(redis: RedisClient, projector: Projector, postgres: PostgresServer, count: int) -> Cost:
    before, begun, server = await RedisWork.so_far(redis), time.process_time(), _cpu(postgres)
    while await projector.project_batch():
        pass
    python, postgres_cpu = time.process_time() - begun, _cpu(postgres) - server
    redis_cpu = (await RedisWork.so_far(redis) - before).cpu
    return Cost(*(seconds / count * 1e6 for seconds in (redis_cpu, python, postgres_cpu)))


async def _bytes_an_event(redis: RedisClient, settings: Settings, count: int) -> float:
    await _work(redis, settings, count, silent=False)
    size = await redis.memory_usage(keys.EVENTS, samples=0)
    return float(size or 0) / (3 * count)


async def _microseconds_an_event(redis: RedisClient) -> float:
    """What Redis itself says of XADD, those of the responses among them."""
    found: dict[str, Any] = await redis.info("commandstats")
    return float(found["cmdstat_xadd"]["usec_per_call"])


def _cpu(postgres: PostgresServer) -> float:
    return sum(cpu_seconds(pid) for pid in descendants(postgres.pid or 0))


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _silenced() -> Iterator[None]:
    """The scripts with a `record_event` that records nothing."""
    kept = [(script, script.text, script.sha) for script in SCRIPTS]
    for script, text, _ in kept:
        body, count = NOTE.subn(r"\1", text)
        if not count:
            raise RuntimeError("a script without the ledger: the comparison is none")
        silent = Script(body)
        script.text, script.sha = silent.text, silent.sha
    try:
        yield
    finally:
        for script, text, sha in kept:
            script.text, script.sha = text, sha


def _tell(found: dict[str, list[Cost]], count: int) -> None:
    def median(name: str, part: str) -> float:
        return float(statistics.median(getattr(cost, part) for cost in found[name]))

    say = sys.stdout.write
    say(f"CPU a message in µs, median of {len(found['with'])} rounds of {count} messages, 3 events each\n")
    say(f"{'':<24}{'Redis':>9}{'Python':>9}{'PostgreSQL':>12}\n")
    for name in ("without", "with"):
        say(f"{name + ' the ledger':<24}{median(name, 'redis'):>9.1f}{median(name, 'python'):>9.1f}{'':>12}\n")
    pairs = list(zip(found["with"], found["without"], strict=True))
    redis, python = (
        statistics.median(getattr(one, part) - getattr(other, part) for one, other in pairs)
        for part in ("redis", "python")
    )
    say(f"{'what it costs':<24}{redis:>9.1f}{python:>9.1f}\n")
    parts = "".join(
        f"{median('projector', part):>{width}.1f}"
        for part, width in (("redis", 9), ("python", 9), ("postgres", 12))
    )
    say(f"{'the projector':<24}{parts}\n")


if __name__ == "__main__":
    main()
