"""`python -m daemons.worker`: build the parts, work until told to stop, hand back what is left."""

import argparse
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from functools import partial

from daemons._hop import WORKER, Hop
from daemons._metrics import measured
from daemons._pace import Pace
from daemons._process import Life, argument_parser, main
from daemons._watchdog import count_waiting, watched
from daemons.worker.auditing import auditing
from daemons.worker.loop import WAKE_BLOCK, WorkLoop
from daemons.worker.quarantine import Parent
from msgctl import logs
from msgctl.agents.store import Agents
from msgctl.breakers.breakers import Breakers
from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable
from msgctl.pipeline import Pipeline
from msgctl.redisdb.connection import connect, dedicated
from msgctl.redisdb.safety import Watch, check_durability
from msgctl.rqueue.audit import Audit
from msgctl.rqueue.claims import Claims
from msgctl.rqueue.progress import Progress
from msgctl.rqueue.worker import Registration
from msgctl.workflow import Workflow

log = logs.get(__name__)


async def serve(settings: Settings, life: Life, *, quarantine: int | None = None) -> None:
    """Be a worker until `life.stopping`; for the quarantine, until that is empty.

    Args:
        settings: the whole configuration.
        life: told of what is asked of this process.
        quarantine: id of the process whose child works the quarantine; None: be a worker like any other.

    Raises:
        UnsafeRedis: Redis may forget what it accepted, and nobody said that this is fine.
        RedisUnavailable: it does not answer at the start; later outages are waited out.
    """
    kind = "worker" if quarantine is None else "quarantine"
    name = f"{kind}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        waiting = await stack.enter_async_context(dedicated(settings, blocking=WAKE_BLOCK))
        if not settings.redis.accept_data_loss:
            await check_durability(redis, settings)
        pace = Pace()
        claims, progress = Claims(redis, settings, name), Progress(redis)
        breakers = Breakers(redis, settings)
        pipeline = Pipeline(
            settings,
            claims=claims,
            progress=progress,
            agents=await stack.enter_async_context(Agents(settings)),
            breakers=breakers,
            workflow=await stack.enter_async_context(Workflow(settings)),
        )
        registration = await stack.enter_async_context(
            registered(settings, name, settings.worker.concurrency if quarantine is None else 1)
        )
        chores = [breakers.refresh, Watch(redis, settings).look]
        if quarantine is not None:
            chores.append(Parent(quarantine, life).look)
        else:
            await stack.enter_async_context(measured(redis, settings))
            await stack.enter_async_context(auditing(Audit(redis)))
        loop = WorkLoop(
            settings,
            name,
            claims=claims,
            progress=progress,
            pipeline=pipeline,
            register=registration.begin,
            chores=chores,
            waiting=waiting,
            pace=pace,
        )

        async def status() -> str:
            waiting = await count_waiting(redis)
            loop.expect_claims(waiting.claimable)
            return f"{loop.running}/{settings.worker.concurrency} slots, {waiting.all} waiting"

        log.info("Worker ready", worker=name, concurrency=settings.worker.concurrency)
        life.ready(f"{name}: {settings.worker.concurrency} slots")
        work = loop.run if quarantine is None else loop.run_quarantine
        hop = None if quarantine else Hop(settings, redis, pace, name=name, stages=WORKER, loop="claiming")
        async with watched(settings, pace, status, hop=hop):
            await work(life.stopping, life.hurried)


@contextlib.asynccontextmanager
async def registered(settings: Settings, name: str, slots: int) -> AsyncIterator[Registration]:
    """Be one of RQ's workers for as long as the context lasts."""
    registration = Registration(settings, name, slots)
    await registration.begin()
    try:
        yield registration
    finally:
        with contextlib.suppress(RedisUnavailable):
            await registration.end()


def parse() -> argparse.Namespace:
    """The command line of the worker."""
    parser = argument_parser("worker")
    parser.add_argument(
        "--quarantine", type=int, metavar="PID", help="work the quarantine for this parent, and leave"
    )
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    main("worker", partial(serve, quarantine=arguments.quarantine), arguments)
