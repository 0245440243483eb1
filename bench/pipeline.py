"""`make bench`: the whole pipeline, REST in and WebSocket out, beside Bull, BullMQ and stock RQ."""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import psycopg
from redis.asyncio import Redis

from bench import fleet, peers, report
from bench.daemon import add_agents, n8n
from bench.fleet import OURS, Fleet
from bench.load import AGENTS, Outcome, run_load
from bench.measure import RedisWork, cpu_seconds, descendants, machine_busy, median
from bench.servers import SECRET, Place, place
from msgctl import agents
from msgctl.redisdb import connect
from msgctl.stack.postgres import Postgres

PACE = 50
WARM_UP = 300
MOST_RQ_PROCESSES = 50


class Run(msgspec.Struct, frozen=True):
    """One load on one pipeline."""

    outcome: Outcome
    cpu: Mapping[str, float]
    """CPU seconds by part."""
    redis: float
    """CPU seconds of Redis."""
    memory: int
    foreign: float
    """Cores that processes of others kept busy meanwhile."""

    def per_thousand(self, seconds: float) -> float:
        """CPU seconds for 1,000 messages."""
        return seconds / max(1, self.outcome.received) * 1000


class Cell(msgspec.Struct, frozen=True):
    """One row of the tables."""

    name: str
    delay: int
    concurrency: int
    saturated: list[Run]
    paced: list[Run]


class Bench:
    """All pipelines on the same servers.

    Args:
        here: Valkey and configuration.
        redis: a client of it.
        folder: the prepared peers, if there are any.
        environment: what the peers are told of the servers.
        arguments: the command line.
    """

    def __init__(
        self,
        here: Place,
        redis: Redis,
        folder: Path | None,
        environment: Mapping[str, str],
        arguments: argparse.Namespace,
    ) -> None:
        self._here = here
        self._redis = redis
        self._folder = folder
        self._environment = environment
        self._arguments = arguments

    async def measure(self, name: str, delay: int, concurrency: int) -> tuple[Run, Run]:
        """Start a pipeline on empty servers, warm it up, load it to saturation, then at 50 messages a second."""
        await self._redis.flushall()
        async with n8n(delay / 1000) as url:
            self._here.configure({("n8n", "base_url"): url})
            async with self._start(name, concurrency, url) as running:
                inflight = max(32, 2 * concurrency)
                await run_load(running.base, self._folder, count=WARM_UP, delay=delay, inflight=inflight)
                saturated = await self._load(running, delay, self._arguments.messages, inflight=inflight)
                paced = await self._load(running, delay, self._arguments.paced, rate=PACE)
                return saturated, paced

    def _start(self, name: str, concurrency: int, url: str) -> AbstractAsyncContextManager[Fleet]:
        if name == OURS or self._folder is None:
            return fleet.ours(self._here, concurrency)
        environment = {**self._environment, "N8N_BASE_URL": url}
        return fleet.peer(
            self._here,
            self._redis,
            name,
            folder=self._folder,
            environment=environment,
            concurrency=concurrency,
        )

    async def _load(self, running: Fleet, delay: int, count: int, *, inflight: int = 0, rate: float = 0) -> Run:
        before, redis = running.cpu(), await RedisWork.so_far(self._redis)
        busy, own, begun = machine_busy(), _own_cpu(), time.perf_counter()
        outcome = await run_load(
            running.base, self._folder, count=count, delay=delay, inflight=inflight, rate=rate
        )
        seconds = time.perf_counter() - begun
        foreign = (machine_busy() - busy - (_own_cpu() - own)) / seconds
        cpu = {part: after - before[part] for part, after in running.cpu().items()}
        used = await RedisWork.so_far(self._redis) - redis
        return Run(outcome, cpu, used.cpu, running.memory(), max(0.0, foreign))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--peers", type=Path, help="the folder of the reference pipelines; none: ours alone")
    parser.add_argument(
        "--only", default=";".join([OURS, *peers.PEERS]), help="which pipelines, by their names, with ; between"
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are shown (3)")
    parser.add_argument("--delays", default="0,100", help="milliseconds n8n takes (0,100)")
    parser.add_argument("--concurrency", default="50,200", help="messages a worker works at once (50,200)")
    parser.add_argument("--messages", type=int, default=5_000, help="messages of a run at saturation (5000)")
    parser.add_argument("--paced", type=int, default=500, help="messages of a run at 50 a second (500)")
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> None:
    """Measure every cell, round by round, then show medians."""
    folder = peers.prepare(arguments.peers)
    names = [name for name in arguments.only.split(";") if name == OURS or folder]
    async with _bench(folder, arguments) as bench:
        cells = [
            Cell(name, delay, concurrency, [], [])
            for delay in map(int, arguments.delays.split(","))
            for concurrency in map(int, arguments.concurrency.split(","))
            for name in names
            if not (name.startswith("rq") and concurrency > MOST_RQ_PROCESSES)
        ]
        for _ in range(arguments.rounds):
            for cell in cells:
                saturated, paced = await bench.measure(cell.name, cell.delay, cell.concurrency)
                cell.saturated.append(saturated)
                cell.paced.append(paced)
        report.publish("Whole pipeline", "make bench", _tables(cells, arguments.rounds), arguments.write)


@asynccontextmanager
async def _bench(folder: Path | None, arguments: argparse.Namespace) -> AsyncIterator[Bench]:
    async with place() as here, connect(here.settings) as redis, Postgres(here.folder / "postgres") as postgres:
        here.configure({("postgres", "url"): postgres.url()})
        await agents.migrate(here.settings)
        await add_agents(postgres.url(), AGENTS)
        environment = {"REDIS_PORT": str(here.valkey.port), "JWT_SECRET": SECRET, "PG_URL": postgres.url("peers")}
        if folder:
            await postgres.make_database("peers")
            async with await psycopg.AsyncConnection.connect(postgres.url("peers")) as connection:
                await connection.execute((folder / "svc/agents.sql").read_bytes())
        yield Bench(here, redis, folder, environment, arguments)


def _tables(cells: Sequence[Cell], rounds: int) -> list[report.Table]:
    heading = [
        "n8n ms, at once",
        "pipeline",
        "messages/s",
        "app CPU s / 1,000",
        "by process",
        "Redis CPU s / 1,000",
    ]
    saturated = report.Table(
        f"Saturation: REST in, WebSocket out; medians of {rounds}",
        [*heading, "peak MB", "lost, twice", "others' cores"],
        [
            [
                f"{cell.delay}, {cell.concurrency}",
                cell.name,
                f"{_median(cell.saturated, lambda run: run.outcome.throughput):,.0f}",
                f"{_median(cell.saturated, lambda run: run.per_thousand(sum(run.cpu.values()))):.2f}",
                _by_part(cell.saturated),
                f"{_median(cell.saturated, lambda run: run.per_thousand(run.redis)):.2f}",
                f"{_median(cell.saturated, lambda run: run.memory / 1e6):,.0f}",
                _faults(cell.saturated),
                f"{_median(cell.saturated, lambda run: run.foreign):.1f}",
            ]
            for cell in cells
        ],
    )
    paced = report.Table(
        f"{PACE} messages a second: time above n8n's own; medians of {rounds}",
        [
            "n8n ms, at once",
            "pipeline",
            "p50 ms",
            "p99 ms",
            "POST p99 ms",
            "app CPU s / 1,000",
            "Redis CPU s / 1,000",
        ],
        [
            [
                f"{cell.delay}, {cell.concurrency}",
                cell.name,
                f"{_median(cell.paced, lambda run: run.outcome.overhead_ms.p50):.1f}",
                f"{_median(cell.paced, lambda run: run.outcome.overhead_ms.p99):.1f}",
                f"{_median(cell.paced, lambda run: run.outcome.post_ms.p99):.1f}",
                f"{_median(cell.paced, lambda run: run.per_thousand(sum(run.cpu.values()))):.2f}",
                f"{_median(cell.paced, lambda run: run.per_thousand(run.redis)):.2f}",
            ]
            for cell in cells
        ],
    )
    return [saturated, paced]


def _by_part(runs: Sequence[Run]) -> str:
    parts = runs[0].cpu
    return ", ".join(f"{part} {median(run.per_thousand(run.cpu[part]) for run in runs):.2f}" for part in parts)


def _faults(runs: Sequence[Run]) -> str:
    return f"{sum(run.outcome.lost for run in runs)}, {sum(run.outcome.duplicates for run in runs)}"


def _median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return median(map(value, runs))


def _own_cpu() -> float:
    return sum(map(cpu_seconds, descendants(os.getpid())))


if __name__ == "__main__":
    asyncio.run(main(parse()))
