"""`python -m daemons.worker`: build the parts, work until told to stop, hand back what is left."""

import argparse
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from functools import partial

from daemons._metrics import measured
from daemons._process import Life, argument_parser, main
from daemons._watchdog import Pace, count_waiting, watched
from daemons.worker.auditing import auditing
from daemons.worker.loop import WAKE_BLOCK, WorkLoop
from msgctl import contracts, logs
from msgctl.agents import Agents
from msgctl.breakers import Breakers
from msgctl.config import Settings
from msgctl.errors import RedisUnavailable
from msgctl.history import History
from msgctl.pipeline import Pipeline
from msgctl.redisdb import Watch, check_durability, connect, dedicated
from msgctl.rqueue import Audit, Claims, Progress, Registration
from msgctl.workflow import Workflow

log = logs.get(__name__)


async def serve(settings: Settings, life: Life, *, quarantine: bool = False) -> None:
    """Be a worker until `life.stopping`; for the quarantine, until that is empty.

    Raises:
        UnsafeRedis: Redis may forget what it accepted, and nobody said that this is fine.
        RedisUnavailable: it does not answer at the start; later outages are waited out.
    """
    kind = "quarantine" if quarantine else "worker"
    name = f"{kind}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        waiting = await stack.enter_async_context(dedicated(settings, blocking=WAKE_BLOCK))
        if not settings.redis.accept_data_loss:
            await check_durability(redis, settings)
        pace = Pace()
        claims, progress = Claims(redis, settings, name), Progress(redis, settings)
        breakers = Breakers(redis, settings)
        pipeline = Pipeline(
            settings,
            claims=claims,
            progress=progress,
            agents=await stack.enter_async_context(Agents(settings)),
            history=History(redis, settings),
            breakers=breakers,
            workflow=await stack.enter_async_context(Workflow(settings)),
        )
        await stack.enter_async_context(
            registered(settings, name, 1 if quarantine else settings.worker.concurrency)
        )
        if not quarantine:
            await stack.enter_async_context(measured(redis, settings))
            await stack.enter_async_context(auditing(Audit(redis, settings)))
        loop = WorkLoop(
            settings,
            name,
            claims=claims,
            progress=progress,
            pipeline=pipeline,
            chores=[breakers.refresh, Watch(redis, settings).look],
            waiting=waiting,
            pace=pace,
        )

        async def status() -> str:
            waiting = await count_waiting(redis, [contracts.RQ_QUEUE + queue for queue in contracts.QUEUES])
            return f"{loop.running}/{settings.worker.concurrency} slots, {waiting} waiting"

        life.ready(f"{name}: {settings.worker.concurrency} slots")
        log.info("Worker ready", worker=name, concurrency=settings.worker.concurrency)
        work = loop.run_quarantine if quarantine else loop.run
        async with watched(settings, pace, status):
            await work(life.stopping, life.hurried)


@contextlib.asynccontextmanager
async def registered(settings: Settings, name: str, slots: int) -> AsyncIterator[None]:
    """Be one of RQ's workers for as long as the context lasts."""
    registration = Registration(settings, name, slots)
    await registration.begin()
    try:
        yield
    finally:
        with contextlib.suppress(RedisUnavailable):
            await registration.end()


def parse() -> argparse.Namespace:
    """The command line of the worker."""
    parser = argument_parser("worker")
    parser.add_argument("--quarantine", action="store_true", help="work the quarantine, alone, and leave")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    main("worker", partial(serve, quarantine=arguments.quarantine), arguments)
