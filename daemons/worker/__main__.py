"""`python -m daemons.worker`: build the parts, work until told to stop, hand back what is left."""

import contextlib
import os
import secrets
import socket

from daemons._process import Life, main
from daemons.worker.loop import WorkLoop
from msgctl import logs
from msgctl.agents import Agents
from msgctl.config import Settings
from msgctl.errors import RedisUnavailable
from msgctl.history import History
from msgctl.pipeline import Pipeline
from msgctl.redisdb import check_durability, connect, dedicated
from msgctl.rqueue import Claims, Progress, Registration
from msgctl.workflow import Workflow

WAKE_BLOCK = 1.0
"""Seconds an idle worker waits inside Redis at a time."""

log = logs.get(__name__)


async def serve(settings: Settings, life: Life) -> None:
    """Be a worker until `life.stopping`.

    Raises:
        UnsafeRedis: Redis may forget what it accepted, and nobody said that this is fine.
        RedisUnavailable: it does not answer at the start; later outages are waited out.
    """
    name = f"worker-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        waiting = await stack.enter_async_context(dedicated(settings, blocking=WAKE_BLOCK))
        if not settings.redis.accept_data_loss:
            await check_durability(redis, settings)
        agents = await stack.enter_async_context(Agents(settings))
        workflow = await stack.enter_async_context(Workflow(settings))
        claims, progress = Claims(redis, settings, name), Progress(redis, settings)
        pipeline = Pipeline(
            settings,
            claims=claims,
            progress=progress,
            agents=agents,
            history=History(redis, settings),
            workflow=workflow,
        )
        registration = Registration(settings, name)
        await registration.begin()
        try:
            loop = WorkLoop(settings, name, claims=claims, progress=progress, pipeline=pipeline, waiting=waiting)
            life.ready(f"{name}: {settings.worker.concurrency} slots")
            log.info("Worker ready", worker=name, concurrency=settings.worker.concurrency)
            await loop.run(life.stopping, life.hurried)
        finally:
            with contextlib.suppress(RedisUnavailable):
                await registration.end()


if __name__ == "__main__":
    main("worker", serve)
