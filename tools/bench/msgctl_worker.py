"""Our queue: the worker's own loop with steps that only commit, and the bare scripts without the loop."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from daemons._pace import Pace
from daemons.worker.loop import WAKE_BLOCK, WorkLoop
from msgctl.breakers.breakers import Breakers
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.pipeline import Pipeline
from msgctl.redisdb.connection import connect, dedicated
from msgctl.redisdb.safety import Watch
from msgctl.rqueue.claims import Claimed, Claims
from msgctl.rqueue.progress import Progress
from msgctl.rqueue.queue import Queue
from msgctl.rqueue.worker import Registration
from tools.bench import messages

Finished = Callable[[], None]


class NoSteps(Pipeline):
    """A pipeline that knows the answer at once and only commits it.

    Args:
        claims: the worker's.
        count: commits after which it is done.
        finish: called then.
    """

    def __init__(self, claims: Claims, count: int, finish: Finished) -> None:
        self._claims = claims
        self._left = count
        self._finish = finish
        self.done = asyncio.Event()

    async def work(self, claimed: Claimed) -> None:
        """Commit."""
        await messages.commit(self._claims, claimed)
        self._left -= 1
        if not self._left:
            self._finish()
            self.done.set()


def fill(count: int, finish: Finished) -> None:
    """Enqueue messages, one at a time, each in a conversation of its own."""
    uvloop.run(_fill(count, finish))


def drain(count: int, finish: Finished) -> None:
    """Work so many messages in the worker's loop."""
    uvloop.run(_drain(load().settings, count, finish))


def drain_bare(count: int, finish: Finished) -> None:
    """Claim batches and commit them, without a loop, slots or heartbeats."""
    uvloop.run(_drain_bare(load().settings, count, finish))


async def _fill(count: int, finish: Finished) -> None:
    settings = load().settings
    async with connect(settings) as redis:
        queue = Queue(redis, settings)
        for number in range(count):
            await messages.enqueue(queue, number, count)
        finish()


async def _drain(settings: Settings, count: int, finish: Finished) -> None:
    name = f"bench-{os.getpid()}"
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        waiting = await stack.enter_async_context(dedicated(settings, blocking=WAKE_BLOCK))
        claims, progress = Claims(redis, settings, name), Progress(redis)
        pipeline = NoSteps(claims, count, finish)
        registration = Registration(settings, name)
        await registration.begin()
        stack.push_async_callback(registration.end)
        loop = WorkLoop(
            settings,
            name,
            claims=claims,
            progress=progress,
            pipeline=pipeline,
            register=registration.begin,
            chores=[Breakers(redis, settings).refresh, Watch(redis, settings).look],
            waiting=waiting,
            pace=Pace(),
        )
        await loop.run(pipeline.done, pipeline.done)


async def _drain_bare(settings: Settings, count: int, finish: Finished) -> None:
    async with connect(settings) as redis:
        claims = Claims(redis, settings, f"bench-{os.getpid()}")
        commit = partial(messages.commit, claims)
        while count > 0:
            claimed = await claims.claim(settings.worker.concurrency)
            await asyncio.gather(*map(commit, claimed))
            count -= len(claimed)
        finish()
