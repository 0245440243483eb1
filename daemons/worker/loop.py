"""The worker's loop: as many messages at once as there are slots, in one thread, woken and never polling.

claim  ── takes messages into free slots; with slots left over, waits inside Redis to be woken
work   ── one task a message, each running `Pipeline.work`
tend   ── each second: promote, reap, expire; each third of a lease: heartbeat
"""

import asyncio
import time
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from daemons._process import cancel
from msgctl import contracts, logs
from msgctl.config import Settings
from msgctl.errors import RedisUnavailable
from msgctl.pipeline import Pipeline
from msgctl.rqueue import Claimed, Claims, Progress

TEND_INTERVAL = 1.0
OUTAGE_PAUSE = 0.5

log = logs.get(__name__)


class WorkLoop:
    """Runs until it is told to stop; then drains.

    Args:
        settings: `worker.*`.
        name: this worker's.
        claims, progress, pipeline: what it works with.
        waiting: a dedicated client, for waiting to be woken.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        claims: Claims,
        progress: Progress,
        pipeline: Pipeline,
        waiting: Redis,
    ) -> None:
        self._settings = settings.worker
        self._wake_key = contracts.WAKE + name
        self._claims = claims
        self._progress = progress
        self._pipeline = pipeline
        self._waiting = waiting
        self._running: dict[str, tuple[Claimed, asyncio.Task[None]]] = {}
        self._slot_freed = asyncio.Event()

    async def run(self, stopping: asyncio.Event, hurried: asyncio.Event) -> None:
        """Work until `stopping`; then let running messages end until the deadline or until `hurried`."""
        background = [asyncio.create_task(self._tend()), asyncio.create_task(self._progress.run())]
        claiming = asyncio.create_task(self._claim())
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait([claiming, stopped, *background], return_when=asyncio.FIRST_COMPLETED)
        await cancel(claiming)
        await self._drain(hurried)
        await cancel(stopped, *background)

    async def _claim(self) -> None:
        """Fill free slots for ever."""
        reply_lost = False
        while True:
            free = self._settings.concurrency - len(self._running)
            if free <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            try:
                if reply_lost:
                    await self._claims.disown(list(self._running))
                claimed = await self._claims.claim(free)
                reply_lost = False
                for one in claimed:
                    self._start(one)
                if len(claimed) < free:
                    await self._wait_to_be_woken()
            except (RedisUnavailable, RedisError, OSError) as outage:
                if not reply_lost:
                    log.warning("Redis client error: cannot claim", error=str(outage))
                reply_lost = True
                await asyncio.sleep(OUTAGE_PAUSE)

    async def _wait_to_be_woken(self) -> None:
        await cast("Any", self._waiting.blpop([self._wake_key], timeout=1))

    def _start(self, claimed: Claimed) -> None:
        task = asyncio.create_task(self._pipeline.work(claimed))
        self._running[claimed.lease] = (claimed, task)
        task.add_done_callback(lambda _: self._finish(claimed))

    def _finish(self, claimed: Claimed) -> None:
        self._running.pop(claimed.lease, None)
        self._slot_freed.set()

    async def _tend(self) -> None:
        """Keep what is ours and look after what nobody holds, each second."""
        next_heartbeat = 0.0
        while True:
            try:
                if time.monotonic() >= next_heartbeat:
                    await self._heartbeat()
                    next_heartbeat = time.monotonic() + self._settings.lease / 3
                promoted, reaped, buried = await self._claims.tend()
                if reaped:
                    log.warning("Leases ran out", reaped=reaped, dead_letters=buried)
                log.debug("Tended", promoted=promoted, running=len(self._running))
            except RedisUnavailable as outage:
                next_heartbeat = 0.0  # at once when Redis is back: leases may have run out meanwhile
                log.warning("Redis client error: cannot tend", error=outage.message)
            await asyncio.sleep(TEND_INTERVAL)

    async def _heartbeat(self) -> None:
        state = "busy" if self._running else "idle"
        for lease in await self._claims.heartbeat(list(self._running), state):
            lost = self._running.get(lease)
            if lost:
                log.warning("Lease lost", messageId=lost[0].message.message_id, run=lost[0].run)
                lost[1].cancel()

    async def _drain(self, hurried: asyncio.Event) -> None:
        """Let running messages end; hand the rest back uncharged."""
        try:
            await self._claims.retire()
            await self._claims.disown(list(self._running))
        except RedisUnavailable as outage:
            log.warning("Redis client error: cannot retire", error=outage.message)
        if self._running:
            log.info("Draining", running=len(self._running), seconds=self._settings.drain)
            await self._wait_for_running(hurried)
        left = list(self._running.values())
        await cancel(*(task for _, task in left))
        if left:
            handed = await self._claims.hand_back([claimed for claimed, _ in left])
            log.info("Handed back", messages=handed)

    async def _wait_for_running(self, hurried: asyncio.Event) -> None:
        enough = asyncio.create_task(hurried.wait())
        tasks = [task for _, task in self._running.values()]
        everything = asyncio.gather(*tasks, return_exceptions=True)
        outcomes: list[asyncio.Future[Any]] = [enough, everything]
        await asyncio.wait(outcomes, timeout=self._settings.drain, return_when=asyncio.FIRST_COMPLETED)
        await cancel(enough)
