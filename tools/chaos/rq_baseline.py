"""The same for RQ as it comes: `SimpleWorker` on two queues, a job that is retried after a pause, one that is not.

Run as a program it is one of the processes: `python -m tools.chaos.rq_baseline work|recover PORT`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from tools.support.fault_proxy import Fault, Proxy

QUEUES = ("high", "low")
JOBS = ("retried", "plain")
RUNS_NEEDED = {"retried": 2, "plain": 1}
RAN = "ran:"


@dataclass
class Outcome:
    """What came of one disturbed life."""

    command: str
    lost: int
    """Jobs that neither succeeded nor failed and are in no list or registry."""
    failed: int
    """Jobs that are called failed although a further run would have succeeded."""
    extra_runs: int


def answer(name: str, port: int) -> None:
    """The job; `retried` fails the first time."""
    with Redis(port=port) as redis:
        if redis.incr(RAN + name) < RUNS_NEEDED[name]:
            raise RuntimeError("n8n answered 500")


async def tell(port: int, fault: Fault, at: int) -> Outcome:
    """Live it once with a fault, let RQ recover as it would in the end, and look.

    Args:
        port: of a Redis on loopback, which is emptied.
        fault: what happens.
        at: at the command of this number of the worker.
    """
    await asyncio.to_thread(_begin, port)
    async with Proxy("127.0.0.1", port) as proxy:
        worker = await _start("work", proxy.port, port)
        proxy.strike(fault, at, kill=lambda: os.kill(worker.pid, signal.SIGKILL))
        await worker.wait()
        struck = proxy.commands[at - 1] if proxy.struck.is_set() else ""
    recovered = await _start("recover", port, port)
    await recovered.wait()
    return await asyncio.to_thread(_judge, port, struck)


async def _start(verb: str, port: int, direct: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.chaos.rq_baseline", verb, str(port), str(direct)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


def _begin(port: int) -> None:
    with Redis(port=port) as redis:
        redis.flushdb()
        for queue, name in zip(QUEUES, JOBS, strict=True):
            Queue(queue, connection=redis, serializer=JSONSerializer).enqueue(
                answer, name, port, job_id=name, retry=Retry(max=3, interval=60)
            )


def _work(port: int) -> None:
    """Burst: until both queues are empty."""
    with Redis(port=port) as redis:
        queues = [Queue(name, connection=redis, serializer=JSONSerializer) for name in QUEUES]
        worker = SimpleWorker(queues, connection=redis, serializer=JSONSerializer)
        worker.death_penalty_class = TimerDeathPenalty
        worker.work(burst=True, logging_level="ERROR")


def _recover(port: int) -> None:
    """Every lease and pause has passed; cleaners, the scheduler and a clean worker run, three times over."""
    with Redis(port=port) as redis:
        for _ in range(3):
            for name in QUEUES:
                for registry in (StartedJobRegistry, ScheduledJobRegistry):
                    _make_due(redis, registry(name, connection=redis).key)
                StartedJobRegistry(name, connection=redis, serializer=JSONSerializer).cleanup()
            scheduler = RQScheduler(QUEUES, redis, serializer=JSONSerializer)
            scheduler.acquire_locks()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
            scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
            scheduler.release_locks()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
            _work(port)


def _is_nowhere(redis: Any, name: str) -> bool:
    """Whether no queue and no registry, that of the finished and of the failed included, holds a job."""
    lists = [redis.lpos(f"rq:queue:{queue}", name) for queue in QUEUES]
    sets = ("scheduled", "finished", "failed", "deferred", "canceled")
    scores = [redis.zscore(f"rq:{kind}:{queue}", name) for kind in sets for queue in QUEUES]
    running = [member for queue in QUEUES for member in redis.zrange(f"rq:wip:{queue}", 0, -1)]
    return not (
        any(place is not None for place in lists + scores)
        or any(member.decode().startswith(f"{name}:") for member in running)
    )


def _make_due(redis: Any, key: str) -> None:
    for member in redis.zrange(key, 0, -1):
        redis.zadd(key, {member: 1})


def _judge(port: int, command: str) -> Outcome:
    with Redis(port=port) as redis:
        statuses = []
        for name in JOBS:
            with suppress(NoSuchJobError):
                job = Job.fetch(name, connection=redis, serializer=JSONSerializer)
                statuses.append(str(job.get_status(refresh=False).value))
        lost = [name for name in JOBS if _is_nowhere(redis, name)]
        runs = {name: int(redis.get(RAN + name) or 0) for name in JOBS}
    return Outcome(
        command=command,
        lost=len(lost),
        failed=statuses.count("failed"),
        extra_runs=sum(max(0, runs[name] - needed) for name, needed in RUNS_NEEDED.items()),
    )


if __name__ == "__main__":
    verbs: dict[str, Callable[[int], None]] = {"work": _work, "recover": _recover}
    verbs[sys.argv[1]](int(sys.argv[2]))
