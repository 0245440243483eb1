"""A thousand calls of n8n at once in one worker, two seconds each: messages a second, and memory."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from redis.asyncio import Redis

from bench import messages, report
from bench.measure import cpu_seconds, peak_memory
from bench.servers import Place
from msgctl import agents, contracts
from msgctl.stack.daemon import Daemon
from msgctl.stack.postgres import Postgres
from msgctl.stack.supervisor import Supervisor

SLOTS = 1_000
DELAY = 2.0
GRACE = 5.0


async def measure(place: Place, redis: Redis, count: int) -> report.Table:
    """Fill the queue, start the real worker, wait for the last response."""
    async with Postgres(place.folder / "postgres", durable=False) as postgres, n8n(DELAY) as url:
        place.configure(
            {
                ("postgres", "url"): postgres.url(),
                ("n8n", "base_url"): url,
                ("worker", "concurrency"): SLOTS,
                ("logs", "level"): "warning",
            }
        )
        await agents.migrate(place.settings)
        await add_agents(postgres.url(), 1)
        await messages.fill(redis, place.settings, count=count, conversations=count)
        worker = Daemon("worker-1", ["daemons.worker"], place.environment, _show)
        async with Supervisor([worker], grace=GRACE):
            begun, pid = time.perf_counter(), worker.pid or 0
            cpu = cpu_seconds(pid)
            while await redis.xlen(contracts.RESPONSES) < count:  # noqa: ASYNC110 - it is Redis that knows
                await asyncio.sleep(0.05)
            seconds = time.perf_counter() - begun
            row = [
                f"{count:,}",
                f"{count / seconds:,.0f}",
                f"{SLOTS / DELAY:,.0f}",
                f"{peak_memory(pid) / 1e6:,.0f}",
                f"{(cpu_seconds(pid) - cpu) / count * 1000:.2f}",
            ]
    return report.Table(
        f"{SLOTS:,} calls of n8n of {DELAY:g} s at once, one worker process",
        ["messages", "messages/s", "as many as there can be", "peak MB", "worker CPU ms a message"],
        [row],
        "n8n is bench/n8n.py: the stand-in of the demo keeps books on each call and would be measured along.",
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
    """Run `python -m bench.n8n` and give its address.

    Args:
        delay: seconds before each answer.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.n8n", str(delay), stdout=PIPE)
    assert process.stdout  # noqa: S101 - for the type checker: it is a pipe
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


def _show(name: str, line: str) -> None:
    sys.stderr.write(f"{name} | {line}\n")
