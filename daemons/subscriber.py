"""The subscriber: takes responses from the durable stream to their channels. `python -m daemons.subscriber`."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable

from daemons._hop import SUBSCRIBER, Hop
from daemons._metrics import measured
from daemons._pace import Pace
from daemons._process import Life, main
from daemons._watchdog import watched
from daemons.canary import singing
from daemons.projecting import projecting
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.delivery.adoption import Adoption
from msgctl.delivery.outage import Outage
from msgctl.delivery.router import Router, create_senders
from msgctl.delivery.stream import ResponseStream
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import guarded_connector
from msgctl.redisdb.connection import connect
from msgctl.redisdb.safety import check_durability
from msgctl.tasks import cancel

TEND_INTERVAL = 1.0
"""Seconds between two signs of life."""
DRAIN_MARGIN = 2.0
"""Seconds beyond a provider's timeout that a send under way gets to end after SIGTERM."""

log = logs.get(__name__)


async def serve(settings: Settings, life: Life) -> None:
    """Be a subscriber until `life.stopping`.

    Raises:
        UnsafeRedis: Redis may forget what it accepted, and nobody said that this is fine.
        RedisUnavailable: it does not answer at the start; later outages are waited out.
    """
    name = f"subscriber-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        if not settings.redis.accept_data_loss:
            await check_durability(redis, settings)
        client = await stack.enter_async_context(HttpClient(settings))
        guarded_client = await stack.enter_async_context(HttpClient(settings, guarded_connector()))
        stream = ResponseStream(redis, settings, name)
        stack.push_async_callback(stream.close)
        adoption = Adoption(redis, settings)
        stack.push_async_callback(adoption.close)
        router = Router(redis, settings, stream, create_senders(settings, client, guarded_client))
        await stream.ensure_group()
        await stream.tend()
        await stack.enter_async_context(projecting(redis, settings))
        await stack.enter_async_context(singing(redis, settings))
        await stack.enter_async_context(measured(redis, settings))
        log.info("Subscriber ready", subscriber=name, concurrency=settings.delivery.concurrency)
        life.ready(f"{name}: {settings.delivery.concurrency} slots a channel")

        async def status() -> str:
            pending = await stream.pending()
            return f"{len(stream.held)} being delivered here, {pending} not settled in all"

        pace = Pace()
        hop = Hop(settings, redis, pace, name=name, stages=SUBSCRIBER, loop="reading")
        async with watched(settings, pace, status, hop=hop):
            await _run(settings, life, stream=stream, router=router, adoption=adoption, pace=pace)


async def _run(
    settings: Settings,
    life: Life,
    *,
    stream: ResponseStream,
    router: Router,
    adoption: Adoption,
    pace: Pace,
) -> None:
    """Read until told to stop; then let what is being sent end, and leave the rest to others."""

    async def read() -> None:
        try:
            pace.mark("reading")
            found = await stream.read()
            pace.rest("reading")
            await router.take(found)
            if found:
                pace.moved()
        except BaseException:
            stream.recover()  # what was not handed on is pending here
            raise

    tending = asyncio.create_task(_for_ever("tend the stream", _tend_step(settings, stream, router, pace)))
    hearing = [
        asyncio.create_task(_for_ever("read the stream", read)),
        asyncio.create_task(_for_ever("hear foreign publishers", adoption.listen)),
    ]
    stopped = asyncio.create_task(life.stopping.wait())
    await asyncio.wait([stopped, tending, *hearing], return_when=asyncio.FIRST_COMPLETED)
    await cancel(*(task for task in hearing if not task.done()))  # a failure is told of at the end
    pace.rest("reading")
    draining = asyncio.create_task(router.drain(settings.delivery.timeout + DRAIN_MARGIN))
    hurried = asyncio.create_task(life.hurried.wait())
    await asyncio.wait([draining, hurried], return_when=asyncio.FIRST_COMPLETED)
    tasks = (tending, draining, *hearing)
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    await cancel(*(task for task in (draining, hurried, stopped, tending) if not task.done()))
    await Outage("leave").attempt(stream.leave)
    for task in failed:
        task.result()


def _tend_step(
    settings: Settings, stream: ResponseStream, router: Router, pace: Pace
) -> Callable[[], Awaitable[None]]:
    """One look a second; a third of the time to a takeover, the hold on what is being sent is renewed."""
    every = max(1, int(settings.delivery.takeover / 3 / TEND_INTERVAL))
    looks = 0

    async def tend() -> None:
        nonlocal looks
        pace.mark("tending")
        await stream.tend()
        await router.tend()
        if looks % every == 0:
            await stream.keep()
        if taken := await stream.take_over():
            await router.take(taken)
        looks += 1
        await asyncio.sleep(TEND_INTERVAL)

    return tend


async def _for_ever(what: str, step: Callable[[], Awaitable[None]]) -> None:
    outage = Outage(what)
    while True:
        await outage.attempt(step)


if __name__ == "__main__":
    main("subscriber", serve)
