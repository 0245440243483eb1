"""systemd's watchdog, fed by progress: a daemon that lives but does no work is started again.

Redis being away is not the daemon's fault, and killing it for that would only add a crowd at Redis's door when it
is back. So a Redis that does not answer even a *new* connection excuses everything, and so does one that takes no
writes, because it is full or became a replica: nobody can move anything then. What counts as stuck is the
other case, the one that bites in the field: Redis answers a newcomer, and this process gets nothing done with it;
its connection is wedged, a loop stands still, or the canary lies in its hands and nothing moves (`daemons._hop`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from redis.exceptions import RedisError

from daemons._hop import Hop
from daemons._pace import Pace
from msgctl import contracts, logs, notify
from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable, Unavailable
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import knock
from msgctl.tasks import background

PATIENCE = 30.0
"""Seconds without progress after which the watchdog is not fed any more."""
LONGEST_PAUSE = 2.0
"""Seconds between two looks, and so the age of what `systemctl status` shows."""

log = logs.get(__name__)

Status = Callable[[], Awaitable[str]]
"""One line on what the daemon does now, got through the daemon's own client of Redis."""


class Watchdog:
    """Decides, look by look, whether the daemon gets on.

    Args:
        settings: where Redis is.
        pace: of the daemon's loops.
        status: what the daemon does; its answer shows that the daemon's own client works.
        hop: the canary's way through this daemon; None where it does not come through.
        patience: seconds without progress that are nothing yet.
    """

    def __init__(
        self, settings: Settings, pace: Pace, status: Status, *, hop: Hop | None = None, patience: float = PATIENCE
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._status = status
        self._hop = hop
        self._patience = patience
        self._answered = self._excused = time.monotonic()
        self._line = self._blame = ""

    async def look(self) -> list[str]:
        """What is to be told now: STATUS= always, WATCHDOG=1 unless the daemon is stuck."""
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                self._line = await self._status()
                self._blame = await self._hop.fault(self._patience) if self._hop else ""
            self._answered = time.monotonic()
        except (RedisError, Unavailable, OSError):  # TimeoutError is an OSError
            try:
                await knock(self._settings)
            except RedisUnavailable:
                self._excused = self._answered = time.monotonic()
                self._pace.moved()  # what Redis could not give, nobody could take
                return ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]
        if fault := self._fault():
            if refusal := await self._refusal():
                return [f"STATUS={refusal}", "WATCHDOG=1"]
            log.error("Stuck: systemd is not told that all is well", fault=fault)
            return [f"STATUS=stuck: {fault}"]
        return [f"STATUS={self._line}", "WATCHDOG=1"]

    async def _refusal(self) -> str:
        """Why nobody can write to Redis; empty: anybody can."""
        try:
            await knock(self._settings, writing=True)
        except RedisUnavailable as refusal:
            self._excused = self._answered = time.monotonic()
            self._pace.moved()
            return refusal.message
        return ""

    def _fault(self) -> str:
        since = time.monotonic() - self._patience
        if self._answered < since:
            return "Redis answers a new connection, but not this process"
        loop = "" if self._excused > since else self._pace.stuck(since)
        return f"{loop} stands still" if loop else self._blame


@contextlib.asynccontextmanager
async def watched(
    settings: Settings, pace: Pace, status: Status, *, hop: Hop | None = None
) -> AsyncIterator[None]:
    """Feed systemd's watchdog for as long as the context lasts, where there is one (WATCHDOG_USEC)."""
    seconds = notify.watchdog_seconds()
    if not seconds:
        yield
        return
    watchdog = Watchdog(settings, pace, status, hop=hop)
    async with background(_feed(watchdog, min(seconds / 4, LONGEST_PAUSE))):
        yield


async def _feed(watchdog: Watchdog, pause: float) -> None:
    while True:
        notify.send(*await watchdog.look(), patience=0)
        await asyncio.sleep(pause)


class Waiting(NamedTuple):
    """Messages that no worker has yet."""

    all: int
    claimable: int
    """Those that a worker with a free slot takes at once: nobody has paused their priority, or RQ as a whole."""


async def count_waiting(redis: RedisClient) -> Waiting:
    """How many messages wait, in one round trip."""
    async with redis.pipeline(transaction=False) as pipeline:
        for queue in contracts.QUEUES:
            pipeline.llen(contracts.RQ_QUEUE + queue)
        pipeline.smembers(contracts.PAUSED)
        pipeline.exists(contracts.RQ_SUSPENDED)
        *lengths, paused, suspended = await pipeline.execute()
    claimable = sum(length for queue, length in zip(contracts.QUEUES, lengths, strict=True) if queue not in paused)
    return Waiting(sum(lengths), 0 if suspended else claimable)
