"""The real worker process: what it costs with nothing to do, and with a thousand calls of n8n at once."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.supervisor.child import Daemon
from msgctl.local.supervisor.supervisor import Supervisor
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tools.bench import messages, report
from tools.bench.measure import RedisWork, cpu_seconds, peak_memory
from tools.bench.servers import Place

SLOTS = 1_000
DELAY = 2.0
GRACE = 5.0
SETTLING, IDLING = 3.0, 10.0
"""Seconds a worker is left alone before its idling is measured, and then."""


async def measure(place: Place, redis: RedisClient, count: int) -> list[report.Table]:
    """Let a worker idle; then give one `count` messages, each two seconds in n8n."""
    async with PostgresServer(place.folder / "postgres", durable=False) as postgres, n8n(DELAY) as url:
        place.configure({("postgres", "url"): postgres.url(), ("n8n", "base_url"): url})
        place.configure({("worker", "concurrency"): SLOTS, ("worker", "drain"): GRACE})
        await migrate(place.settings)
        await add_agents(postgres.url(), 1)
        async with _worker(place) as pid:
            idle = await _idle(redis, pid)
        await messages.fill(redis, place.settings, count=count, conversations=count)
        async with _worker(place) as pid:
            return [idle, await _work(redis, pid, count)]


@asynccontextmanager
async def _worker(place: Place) -> AsyncIterator[int]:
    """`python -m daemons.worker`, and its process id."""
    worker = Daemon("worker-1", ["daemons.worker"], place.environment, _ignore)
    async with Supervisor([worker], grace_s=GRACE):
        yield worker.pid or 0


async def _idle(redis: RedisClient, pid: int) -> report.Table:
    await asyncio.sleep(SETTLING)
    cpu, before = cpu_seconds(pid), await RedisWork.so_far(redis)
    await asyncio.sleep(IDLING)
    used, work = cpu_seconds(pid) - cpu, await RedisWork.so_far(redis) - before
    cells = (f"{used / IDLING:.2%}", f"{work.cpu / IDLING:.2%}", f"{work.reads / IDLING:.1f}")
    return report.Table("An idle worker, share of a core", ["worker", "Redis", "round trips a second"], [cells])


async def _work(redis: RedisClient, pid: int, count: int) -> report.Table:
    begun, cpu = time.perf_counter(), cpu_seconds(pid)
    while await redis.xlen(keys.RESPONSES) < count:  # noqa: ASYNC110 - it is Redis that knows
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - begun
    cells = (
        f"{count:,}",
        f"{count / seconds:,.0f}",
        f"{SLOTS / DELAY:,.0f}",
        f"{peak_memory(pid) / 1e6:,.0f}",
        f"{(cpu_seconds(pid) - cpu) / count * 1000:.2f}",
    )
    return report.Table(
        f"{SLOTS:,} calls of n8n at once, {DELAY:g} s each, in one worker process",
        ["messages", "messages/s", "as many as there can be", "peak MB", "worker CPU ms a message"],
        [cells],
        "n8n is tools/bench/n8n.py: the demo's stand-in records each call, which would be measured too.",
    )


async def add_agents(url: str, count: int) -> None:
    """Make the agents that the messages name, each owned by the user of the same number."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(
            "INSERT INTO agents (id, user_id, name, system_prompt, webhook_path) SELECT"
            " ('10000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid,"
            " '20000000-0000-4000-8000-' || lpad(i::text, 12, '0'),"
            " 'Agent ' || i, 'You are agent ' || i || '. ' || repeat('Be helpful and brief. ', 10), 'agent-' || i"
            " FROM generate_series(0, %s - 1) i",
            [count],
        )


@asynccontextmanager
async def n8n(delay: float) -> AsyncIterator[str]:
    """Run `python -m tools.bench.n8n` and give its address.

    Args:
        delay: seconds before each answer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.n8n", str(delay), stdout=PIPE
    )
    assert process.stdout  # noqa: S101 - for the type checker: it is a pipe
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


def _ignore(_name: str, _line: str) -> None:
    """What the worker logs is not of interest here."""
