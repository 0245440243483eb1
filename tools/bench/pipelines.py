"""One pipeline under test, ours or a peer: started, its processes known by part, stopped."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from msgctl.local.supervisor import ports
from msgctl.local.supervisor.child import Daemon
from msgctl.local.supervisor.process import stop
from msgctl.local.supervisor.supervisor import Supervisor
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tools.bench import peers
from tools.bench.measure import cpu_seconds, descendants, peak_memory
from tools.bench.servers import SECRET, Place

PARTS = ("gateway", "worker", "subscriber")
GRACE = 5.0
PATIENCE = 60.0


class Fleet(msgspec.Struct, frozen=True):
    """A running pipeline."""

    base: str
    """The URL of its API."""
    parts: Mapping[str, int]
    """Process ids by part."""

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by part, children included."""
        return {part: sum(map(cpu_seconds, descendants(pid))) for part, pid in self.parts.items()}

    def memory(self) -> int:
        """The most resident memory its processes have had, added up, in bytes."""
        return sum(peak_memory(one) for pid in self.parts.values() for one in descendants(pid))


@asynccontextmanager
async def ours(place: Place, concurrency: int) -> AsyncIterator[Fleet]:
    """One gateway, one worker and one subscriber, as `msgctl up` starts them.

    Args:
        place: servers and configuration.
        concurrency: messages the worker works at once.
    """
    port = ports.free_port()
    place.configure(
        {
            ("gateway", "host"): ports.LOOPBACK,
            ("gateway", "port"): port,
            ("worker", "concurrency"): concurrency,
            ("worker", "drain"): GRACE,
            ("auth", "jwt_secret"): SECRET,
        }
    )
    daemons = [Daemon(f"{part}-1", [f"daemons.{part}"], place.environment, lambda *_: None) for part in PARTS]
    async with Supervisor(daemons, grace_s=GRACE) as supervisor:
        parts = {part: pids[0] for part, pids in supervisor.pids.items()}
        yield Fleet(f"http://127.0.0.1:{port}", parts)


@asynccontextmanager
async def peer(
    place: Place,
    redis: RedisClient,
    name: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    concurrency: int,
) -> AsyncIterator[Fleet]:
    """A reference pipeline.

    Args:
        place: whose shell environment it gets.
        redis: asked how many of RQ's workers live.
        name: as `peers.processes` takes it, like the next three.
        folder: where it is installed.
        environment: where the servers are.
        concurrency: jobs at once.
    """
    plan = peers.processes(name, folder, {**place.environment, **environment}, concurrency)
    running = {
        one.part: await asyncio.create_subprocess_exec(
            *one.words, cwd=one.folder, env=one.environment, stdout=DEVNULL, stderr=DEVNULL
        )
        for one in plan
    }
    try:
        async with asyncio.timeout(PATIENCE):
            await _wait_for_health(peers.BASE)
            if name.startswith("rq"):
                await _wait_for_workers(redis, concurrency)
        yield Fleet(peers.BASE, {part: process.pid for part, process in running.items()})
    finally:
        await asyncio.gather(*(stop(process, signal.SIGTERM, grace_s=GRACE) for process in running.values()))


async def _wait_for_health(base: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{base}/health"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def _wait_for_workers(redis: RedisClient, count: int) -> None:
    while await redis.scard(keys.RQ_WORKERS) < count:  # noqa: ASYNC110 - it is Redis that knows
        await asyncio.sleep(0.1)
