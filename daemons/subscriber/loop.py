"""The loop of the subscriber: read responses, dispatch them, maintain the stream, and drain at the end."""

import asyncio
from collections.abc import Awaitable, Callable

from daemons.runtime.lifecycle import Lifecycle
from daemons.runtime.watchdog import LivenessTracker
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.external_responses import ExternalResponseImporter
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.router import ResponseRouter
from msgctl.storage.redis.retry import RedisRetry

STREAM_MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between two rounds of maintenance, and so between two heartbeats."""
SEND_DRAIN_MARGIN_S = 2.0
"""Seconds beyond the timeout of a provider that a send in flight gets to end after SIGTERM."""


class DeliveryLoop:
    """Delivers responses until the subscriber stops, and then drains.

    Args:
        settings: `delivery.*`.
        stream: the response stream, as this subscriber reads it.
        router: sends each response to its channel.
        importer: takes external responses into the stream.
        liveness: records each round of reading and of maintenance.
    """

    def __init__(
        self,
        settings: Settings,
        stream: ResponseStream,
        router: ResponseRouter,
        importer: ExternalResponseImporter,
        liveness: LivenessTracker,
    ) -> None:
        self._settings = settings.delivery
        self._stream = stream
        self._router = router
        self._importer = importer
        self._liveness = liveness
        self._renew_every = max(1, int(self._settings.takeover / 3 / STREAM_MAINTENANCE_INTERVAL_S))
        self._rounds = 0

    async def run(self, lifecycle: Lifecycle) -> None:
        """Read until `lifecycle.stopping`. Then let sends in flight end, and leave the rest to others."""
        maintaining = asyncio.create_task(_repeat("maintain the stream", self._maintain))
        reading = [
            asyncio.create_task(_repeat("read the stream", self._read)),
            asyncio.create_task(_repeat("import external responses", self._importer.import_next)),
        ]
        stopped = asyncio.create_task(lifecycle.stopping.wait())
        await asyncio.wait([stopped, maintaining, *reading], return_when=asyncio.FIRST_COMPLETED)
        await cancel(*(task for task in reading if not task.done()))  # a failure is raised at the end
        self._liveness.idle("reading")
        draining = asyncio.create_task(self._router.drain(self._settings.timeout + SEND_DRAIN_MARGIN_S))
        forced = asyncio.create_task(lifecycle.force_stop.wait())
        await asyncio.wait([draining, forced], return_when=asyncio.FIRST_COMPLETED)
        tasks = (maintaining, draining, *reading)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
        await cancel(*(task for task in (draining, forced, stopped, maintaining) if not task.done()))
        await RedisRetry("leave").attempt(self._stream.deregister)
        for task in failed:
            task.result()

    async def _read(self) -> None:
        try:
            self._liveness.beat("reading")
            entries = await self._stream.read()
            self._liveness.idle("reading")
            await self._router.dispatch(entries)
            if entries:
                self._liveness.progressed()
        except BaseException:
            self._stream.reread_pending()  # entries that were not dispatched are pending here
            raise

    async def _maintain(self) -> None:
        """Do one round. Ownership of sends in flight is renewed three times within `delivery.takeover`."""
        self._liveness.beat("maintenance")
        await self._stream.maintain()
        await self._router.maintain()
        if self._rounds % self._renew_every == 0:
            await self._stream.renew_ownership()
        if entries := await self._stream.take_over():
            await self._router.dispatch(entries)
        self._rounds += 1
        await asyncio.sleep(STREAM_MAINTENANCE_INTERVAL_S)


async def _repeat(purpose: str, step: Callable[[], Awaitable[None]]) -> None:
    redis_retry = RedisRetry(purpose)
    while True:
        await redis_retry.attempt(step)
