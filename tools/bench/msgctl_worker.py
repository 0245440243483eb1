"""Our queue: the worker's own loop with steps that only commit, and the bare scripts without the loop."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from daemons.runtime.watchdog import LivenessTracker
from daemons.worker.loop import WAKE_TIMEOUT_S, WorkLoop
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.progress import ProgressWriter
from msgctl.queue.queue import Queue
from msgctl.queue.rq_registration import RqRegistration
from msgctl.storage.redis.connections import blocking_client, connect
from msgctl.storage.redis.durability import DurabilityMonitor
from tools.bench import messages

Finished = Callable[[], None]


class NoSteps(Pipeline):
    """A pipeline that knows the answer at once and only commits it.

    Args:
        claims: the worker's.
        count: commits after which it is done.
        finish: called then.
    """

    def __init__(self, claims: LeaseClient, count: int, finish: Finished) -> None:
        self._leases = claims
        self._left = count
        self._finish = finish
        self.done = asyncio.Event()

    async def process(self, claimed: LeasedMessage) -> None:
        """Commit."""
        await messages.commit(self._leases, claimed)
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
        waiting = await stack.enter_async_context(blocking_client(settings, max_block_s=WAKE_TIMEOUT_S))
        claims, progress = LeaseClient(redis, settings, name), ProgressWriter(redis)
        pipeline = NoSteps(claims, count, finish)
        registration = RqRegistration(settings, name)
        await registration.register()
        stack.push_async_callback(registration.deregister)
        loop = WorkLoop(
            settings,
            name,
            leases=claims,
            progress=progress,
            pipeline=pipeline,
            register=registration.register,
            periodic_tasks=[CircuitBreakers(redis, settings).refresh, DurabilityMonitor(redis, settings).check],
            waiting=waiting,
            liveness=LivenessTracker(),
        )
        await loop.run(pipeline.done, pipeline.done)


async def _drain_bare(settings: Settings, count: int, finish: Finished) -> None:
    async with connect(settings) as redis:
        claims = LeaseClient(redis, settings, f"bench-{os.getpid()}")
        commit = partial(messages.commit, claims)
        while count > 0:
            claimed = await claims.claim(settings.worker.concurrency)
            await asyncio.gather(*map(commit, claimed))
            count -= len(claimed)
        finish()
