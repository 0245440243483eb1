"""Starts contenders and measures them, together with what Redis did for them."""

import asyncio
import sys
from asyncio.subprocess import PIPE

import msgspec

from msgctl.storage.redis.client import RedisClient
from tools.bench.measure import RedisWork
from tools.bench.servers import Place
from tools.bench.worker_process import Usage


class Cost(msgspec.Struct, frozen=True):
    """What one action of a contender cost."""

    number: int
    """Jobs."""
    usage: Usage
    redis: RedisWork

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.number / self.usage.seconds

    @property
    def cpu(self) -> float:
        """CPU of the contender, microseconds a job."""
        return self.usage.cpu / self.number * 1e6

    @property
    def redis_cpu(self) -> float:
        """CPU of Redis, microseconds a job."""
        return self.redis.cpu / self.number * 1e6

    @property
    def commands(self) -> float:
        """Commands a job, those inside scripts included."""
        return self.redis.commands / self.number

    @property
    def round_trips(self) -> float:
        """Reads of Redis a job."""
        return self.redis.reads / self.number


async def run_contender(place: Place, redis: RedisClient, name: str, action: str, number: int) -> Cost:
    """Run `python -m tools.bench.worker_process` and measure what it does between its two lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.bench.worker_process", name, action, str(number)),
        env=place.environment,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin  # noqa: S101 - for the type checker: both are pipes
    assert process.stdout  # noqa: S101
    try:
        await process.stdout.readline()
        before = await RedisWork.so_far(redis)
        process.stdin.write(b"\n")
        answer = await process.stdout.readline()
        after = await RedisWork.so_far(redis)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    if not answer:
        raise SystemExit(f"The contender {name} {action} ended without a result; its error is above.")
    return Cost(number, msgspec.json.decode(answer, type=Usage), after - before)
