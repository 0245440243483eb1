"""`make bench`: the whole pipeline, REST in and WebSocket out, beside Bull, BullMQ and stock RQ.

Round by round, so that what disturbs the machine for a while disturbs all alike. RQ takes one round only: its
fifty processes start for longer than the others run.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psycopg

from msgctl.local.servers.postgres import PostgresServer
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tools.bench import peers, pipelines, plot, report
from tools.bench.daemon import add_agents, n8n
from tools.bench.load import AGENTS, run_load
from tools.bench.measure import RedisWork, cpu_seconds, descendants, machine_busy, median
from tools.bench.pipeline_tables import OURS, Cell, Run, tables
from tools.bench.pipelines import Fleet
from tools.bench.servers import SECRET, Place, place

PACE = 50
WARM_UP = 300
SLOW = 5
"""A pipeline that is as many times slower gets as many times fewer messages."""
PATIENCE = 180.0
"""Seconds one measurement may take before it is given up."""
MOST_RQ_PROCESSES = 50


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
        redis: RedisClient,
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
                count = self._arguments.messages // (SLOW if name.startswith("rq") else 1)
                saturated = await self._load(running, delay, count, inflight=inflight)
                paced = await self._load(running, delay, self._arguments.paced, rate=PACE)
                return saturated, paced

    def _start(self, name: str, concurrency: int, url: str) -> AbstractAsyncContextManager[Fleet]:
        if name == OURS or self._folder is None:
            return pipelines.ours(self._here, concurrency)
        environment = {**self._environment, "N8N_BASE_URL": url}
        return pipelines.peer(
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
    parser = argparse.ArgumentParser(prog="python -m tools.bench.pipeline", description=__doc__)
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
    cells = [
        Cell(name, delay, concurrency)
        for delay in map(int, arguments.delays.split(","))
        for concurrency in map(int, arguments.concurrency.split(","))
        for name in names
        if not (name.startswith("rq") and concurrency > MOST_RQ_PROCESSES)
    ]
    async with _bench(folder, arguments) as bench:
        await _measure(bench, cells, arguments.rounds)
    shown = tables(cells, arguments.rounds, PACE)
    picture = _draw(cells, arguments.write) if arguments.write else ""
    report.publish("Whole pipeline", _command(arguments), shown, arguments.write, picture=picture)


async def _measure(bench: Bench, cells: Sequence[Cell], rounds: int) -> None:
    """All rounds. A measurement that fails is told and left out; the others count."""
    plan = [
        (number, cell)
        for number in range(rounds)
        for cell in (cells if number % 2 == 0 else reversed(cells))
        if not number or not cell.name.startswith("rq")
    ]
    begun = time.monotonic()
    for done, (number, cell) in enumerate(plan):
        what = f"round {number + 1} of {rounds}: {cell.name}, n8n {cell.delay} ms, {cell.concurrency} at once"
        try:
            async with asyncio.timeout(PATIENCE):
                saturated, paced = await bench.measure(cell.name, cell.delay, cell.concurrency)
        except (TimeoutError, SystemExit, OSError) as problem:
            _tell(f"{what}: FAILED and left out ({type(problem).__name__}: {problem})")
            continue
        cell.saturated.append(saturated)
        cell.paced.append(paced)
        passed = time.monotonic() - begun
        left = passed / (done + 1) * (len(plan) - done - 1) / 60
        _tell(
            f"{what}: {saturated.outcome.throughput:.0f}/s, {saturated.app:.2f} CPU s/1,000;"
            f" at {PACE}/s p50 {paced.outcome.overhead_ms.p50:.1f} ms; about {left:.0f} min left"
        )


CHARTS: Mapping[str, Callable[[Cell], float]] = {
    "CPU seconds of the application for 1,000 messages": lambda cell: median(run.app for run in cell.saturated),
    "Messages a second": lambda cell: median(run.outcome.throughput for run in cell.saturated),
    f"p50 above n8n's own time at {PACE} messages a second, ms": lambda cell: median(
        run.outcome.overhead_ms.p50 for run in cell.paced
    ),
}


def _draw(cells: Sequence[Cell], file: Path) -> str:
    """The picture beside the tables; its name."""
    charts = []
    for title, value in CHARTS.items():
        groups: dict[str, dict[str, float]] = {}
        for cell in cells:
            if cell.saturated:
                group = groups.setdefault(f"n8n {cell.delay} ms, {cell.concurrency} at once", {})
                group[cell.name] = value(cell)
        charts.append(plot.Chart(title, groups))
    picture = file.with_name("pipeline.svg")
    plot.write(picture, charts)
    return picture.name


def _command(arguments: argparse.Namespace) -> str:
    command = f"make bench{' PEERS=folder' if arguments.peers else ''}"
    return f"{command} (rounds {arguments.rounds}, messages {arguments.messages}, paced {arguments.paced})"


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


@asynccontextmanager
async def _bench(folder: Path | None, arguments: argparse.Namespace) -> AsyncIterator[Bench]:
    async with (
        place() as here,
        connect(here.settings) as redis,
        PostgresServer(here.folder / "postgres") as postgres,
    ):
        here.configure({("postgres", "url"): postgres.url()})
        await migrate(here.settings)
        await add_agents(postgres.url(), AGENTS)
        environment = {"REDIS_PORT": str(here.valkey.port), "JWT_SECRET": SECRET, "PG_URL": postgres.url("peers")}
        if folder:
            await postgres.make_database("peers")
            async with await psycopg.AsyncConnection.connect(postgres.url("peers")) as connection:
                await connection.execute((folder / "svc/agents.sql").read_bytes())
        yield Bench(here, redis, folder, environment, arguments)


def _own_cpu() -> float:
    return sum(map(cpu_seconds, descendants(os.getpid())))


if __name__ == "__main__":
    asyncio.run(main(parse()))
