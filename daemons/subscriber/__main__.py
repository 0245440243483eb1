"""The subscriber: takes responses from the durable stream to their channels. `python -m daemons.subscriber`."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable

from daemons.runtime.lifecycle import Lifecycle, main
from daemons.runtime.liveness import LivenessTracker
from daemons.runtime.metrics_server import serve_metrics
from daemons.runtime.stage_check import SUBSCRIBER_STAGES, StageCheck
from daemons.runtime.watchdog import watchdog_task
from daemons.subscriber.canary_task import canary_task
from daemons.subscriber.ledger_task import ledger_task
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.external_responses import ExternalResponseImporter
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.router import ResponseRouter, create_senders
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import guarded_connector
from msgctl.observability import logs
from msgctl.storage.redis.connections import connect
from msgctl.storage.redis.durability import check_durability
from msgctl.storage.redis.retry import RedisRetry

STREAM_MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between two signs of life."""
SEND_DRAIN_MARGIN_S = 2.0
"""Seconds beyond a provider's timeout that a send under way gets to end after SIGTERM."""

log = logs.get_logger(__name__)


async def serve(settings: Settings, lifecycle: Lifecycle) -> None:
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
        adoption = ExternalResponseImporter(redis, settings)
        stack.push_async_callback(adoption.close)
        router = ResponseRouter(redis, settings, stream, create_senders(settings, client, guarded_client))
        await stream.ensure_group()
        await stream.maintain()
        await stack.enter_async_context(ledger_task(redis, settings))
        await stack.enter_async_context(canary_task(redis, settings))
        await stack.enter_async_context(serve_metrics(redis, settings))
        log.info("Subscriber ready", subscriber=name, concurrency=settings.delivery.concurrency)
        lifecycle.notify_ready(f"{name}: {settings.delivery.concurrency} slots a channel")

        async def status() -> str:
            pending = await stream.count_pending()
            return f"{len(stream.in_flight)} being delivered here, {pending} not settled in all"

        pace = LivenessTracker()
        hop = StageCheck(settings, redis, pace, name=name, stages=SUBSCRIBER_STAGES, loop="reading")
        async with watchdog_task(settings, pace, status, stage_check=hop):
            await _run(settings, lifecycle, stream=stream, router=router, adoption=adoption, liveness=pace)


async def _run(
    settings: Settings,
    lifecycle: Lifecycle,
    *,
    stream: ResponseStream,
    router: ResponseRouter,
    adoption: ExternalResponseImporter,
    liveness: LivenessTracker,
) -> None:
    """Read until told to stop; then let what is being sent end, and leave the rest to others."""

    async def read() -> None:
        try:
            liveness.beat("reading")
            found = await stream.read()
            liveness.idle("reading")
            await router.dispatch(found)
            if found:
                liveness.progressed()
        except BaseException:
            stream.reread_pending()  # what was not handed on is pending here
            raise

    tending = asyncio.create_task(
        _repeat("tend the stream", _maintenance_step(settings, stream, router, liveness))
    )
    hearing = [
        asyncio.create_task(_repeat("read the stream", read)),
        asyncio.create_task(_repeat("hear foreign publishers", adoption.import_next)),
    ]
    stopped = asyncio.create_task(lifecycle.stopping.wait())
    await asyncio.wait([stopped, tending, *hearing], return_when=asyncio.FIRST_COMPLETED)
    await cancel(*(task for task in hearing if not task.done()))  # a failure is told of at the end
    liveness.idle("reading")
    draining = asyncio.create_task(router.drain(settings.delivery.timeout + SEND_DRAIN_MARGIN_S))
    hurried = asyncio.create_task(lifecycle.force_stop.wait())
    await asyncio.wait([draining, hurried], return_when=asyncio.FIRST_COMPLETED)
    tasks = (tending, draining, *hearing)
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    await cancel(*(task for task in (draining, hurried, stopped, tending) if not task.done()))
    await RedisRetry("leave").attempt(stream.deregister)
    for task in failed:
        task.result()


def _maintenance_step(
    settings: Settings, stream: ResponseStream, router: ResponseRouter, liveness: LivenessTracker
) -> Callable[[], Awaitable[None]]:
    """One look a second; a third of the time to a takeover, the hold on what is being sent is renewed."""
    every = max(1, int(settings.delivery.takeover / 3 / STREAM_MAINTENANCE_INTERVAL_S))
    looks = 0

    async def tend() -> None:
        nonlocal looks
        liveness.beat("tending")
        await stream.maintain()
        await router.maintain()
        if looks % every == 0:
            await stream.renew_ownership()
        if taken := await stream.take_over():
            await router.dispatch(taken)
        looks += 1
        await asyncio.sleep(STREAM_MAINTENANCE_INTERVAL_S)

    return tend


async def _repeat(what: str, step: Callable[[], Awaitable[None]]) -> None:
    outage = RedisRetry(what)
    while True:
        await outage.attempt(step)


if __name__ == "__main__":
    main("subscriber", serve)
