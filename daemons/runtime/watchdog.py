"""systemd's watchdog, fed by progress: a daemon that lives but does no work is started again.

Redis being away is not the daemon's fault, and killing it for that would only add a crowd at Redis's door when it
is back. So a Redis that does not answer even a *new* connection excuses everything, and so does one that takes no
writes, because it is full or became a replica: nobody can move anything then. What counts as stuck is the
other case, the one that bites in the field: Redis answers a newcomer, and this process gets nothing done with it;
its connection is wedged, a loop stands still, or the canary lies in its hands and nothing moves
(`daemons.runtime.stage_check`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from redis.exceptions import RedisError

from daemons.runtime.liveness import LivenessTracker
from daemons.runtime.stage_check import StageCheck
from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, Unavailable
from msgctl.observability import logs, sd_notify
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import ping_new_connection

WATCHDOG_GRACE_S = 30.0
"""Seconds without progress after which the watchdog is not fed any more."""
MAX_FEED_INTERVAL_S = 2.0
"""Seconds between two looks, and so the age of what `systemctl status` shows."""

log = logs.get_logger(__name__)

StatusFunction = Callable[[], Awaitable[str]]
"""One line on what the daemon does now, got through the daemon's own client of Redis."""


class Watchdog:
    """Decides, look by look, whether the daemon gets on.

    Args:
        settings: where Redis is.
        liveness: of the daemon's loops.
        status: what the daemon does; its answer shows that the daemon's own client works.
        stage_check: the canary's way through this daemon; None where it does not come through.
        grace_s: seconds without progress that are nothing yet.
    """

    def __init__(
        self,
        settings: Settings,
        liveness: LivenessTracker,
        status: StatusFunction,
        *,
        stage_check: StageCheck | None = None,
        grace_s: float = WATCHDOG_GRACE_S,
    ) -> None:
        self._settings = settings
        self._liveness = liveness
        self._status = status
        self._stage_check = stage_check
        self._grace_s = grace_s
        self._answered_at = self._excused_at = time.monotonic()
        self._status_line = self._stage_fault = ""

    async def check(self) -> list[str]:
        """What is to be told now: STATUS= always, WATCHDOG=1 unless the daemon is stuck."""
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                self._status_line = await self._status()
                self._stage_fault = await self._stage_check.find_fault(self._grace_s) if self._stage_check else ""
            self._answered_at = time.monotonic()
        except (RedisError, Unavailable, OSError):  # TimeoutError is an OSError
            try:
                await ping_new_connection(self._settings)
            except RedisUnavailable:
                self._excused_at = self._answered_at = time.monotonic()
                self._liveness.progressed()  # what Redis could not give, nobody could take
                return ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]
        if fault := self._find_fault():
            if refusal := await self._write_rejection():
                return [f"STATUS={refusal}", "WATCHDOG=1"]
            log.error("Stuck: systemd is not told that all is well", fault=fault)
            return [f"STATUS=stuck: {fault}"]
        return [f"STATUS={self._status_line}", "WATCHDOG=1"]

    async def _write_rejection(self) -> str:
        """Why nobody can write to Redis; empty: anybody can."""
        try:
            await ping_new_connection(self._settings, check_write=True)
        except RedisUnavailable as refusal:
            self._excused_at = self._answered_at = time.monotonic()
            self._liveness.progressed()
            return refusal.message
        return ""

    def _find_fault(self) -> str:
        since = time.monotonic() - self._grace_s
        if self._answered_at < since:
            return "Redis answers a new connection, but not this process"
        loop = "" if self._excused_at > since else self._liveness.stalled(since)
        return f"{loop} stands still" if loop else self._stage_fault


@contextlib.asynccontextmanager
async def watchdog_task(
    settings: Settings, liveness: LivenessTracker, status: StatusFunction, *, stage_check: StageCheck | None = None
) -> AsyncIterator[None]:
    """Feed systemd's watchdog for as long as the context lasts, where there is one (WATCHDOG_USEC)."""
    seconds = sd_notify.watchdog_seconds()
    if not seconds:
        yield
        return
    watchdog = Watchdog(settings, liveness, status, stage_check=stage_check)
    async with background(_feed(watchdog, min(seconds / 4, MAX_FEED_INTERVAL_S))):
        yield


async def _feed(watchdog: Watchdog, pause: float) -> None:
    while True:
        sd_notify.send(*await watchdog.check(), timeout_s=0)
        await asyncio.sleep(pause)


class WaitingCounts(NamedTuple):
    """Messages that no worker has yet."""

    total: int
    claimable: int
    """Those that a worker with a free slot takes at once: nobody has paused their priority, or RQ as a whole."""


async def count_waiting(redis: RedisClient) -> WaitingCounts:
    """How many messages wait, in one round trip."""
    async with redis.pipeline(transaction=False) as pipeline:
        for queue in keys.QUEUES:
            pipeline.llen(keys.RQ_QUEUE + queue)
        pipeline.smembers(keys.PAUSED)
        pipeline.exists(keys.RQ_SUSPENDED)
        *lengths, paused, suspended = await pipeline.execute()
    claimable = sum(length for queue, length in zip(keys.QUEUES, lengths, strict=True) if queue not in paused)
    return WaitingCounts(sum(lengths), 0 if suspended else claimable)
