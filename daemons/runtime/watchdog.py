"""The systemd watchdog, fed by progress: systemd restarts a daemon that is alive but does no work.

An outage of Redis is not the fault of a daemon, and a restart would only add reconnects when Redis is back. So a
Redis that does not answer a *new* connection excuses everything. A Redis that accepts no writes, because it is
full or a replica, does too. A daemon is stuck in the remaining case: Redis answers a new connection, but this
process makes no progress. Its own connection is broken, a loop has stalled, or the canary is at this daemon and
does not advance.

A late canary shows that some daemon is dead, but not which. If every daemon stopped feeding its watchdog then,
systemd would restart the healthy ones again and again, because a subscriber is missing, n8n is down, or an
operator paused a queue. Each restart counts as a crash for the messages in flight. So a daemon is only responsible
for its own stage. It is stuck if the canary stays where this daemon, or any daemon of its kind, must advance it,
this daemon has capacity, and for the whole grace period it has advanced neither the canary nor anything else. The
grace period starts when this process first sees that state, so a new process gets all of it, and so does a process
whose Redis comes back. The canary starts behind the gateway, so a gateway only checks its own connection to Redis.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import NamedTuple

from redis.exceptions import RedisError

from msgctl.aio import background
from msgctl.canary.location import CanaryLocation, CanaryStage, locate_canary
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, Unavailable
from msgctl.observability import logs, sd_notify
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import ping_new_connection

WATCHDOG_GRACE_S = 30.0
"""Seconds without progress after which the watchdog is no longer fed."""
MAX_FEED_INTERVAL_S = 2.0
"""Seconds between two checks at most, and so the age of the line that `systemctl status` shows."""

WORKER_STAGES = frozenset({CanaryStage.QUEUED, CanaryStage.RUNNING})
SUBSCRIBER_STAGES = frozenset({CanaryStage.UNREAD, CanaryStage.UNSETTLED})

log = logs.get_logger(__name__)

StatusFunction = Callable[[], Awaitable[str]]
"""Returns one line on the state of the daemon. It must use the Redis client of the daemon."""


class LivenessTracker:
    """The time at which each loop of a daemon last made a round."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}
        self.progressed_at = time.monotonic()
        """When the daemon last started or ended a piece of work; at first, when it started."""

    def beat(self, loop: str) -> None:
        """Record a round of a loop. Another one is expected soon."""
        self._beats[loop] = time.monotonic()

    def expect(self, loop: str) -> None:
        """Expect a round of a loop from now on, unless one is expected already."""
        self._beats.setdefault(loop, time.monotonic())

    def idle(self, loop: str) -> None:
        """Expect nothing of a loop until its next `beat`: it may wait for long."""
        self._beats.pop(loop, None)

    def is_idle(self, loop: str) -> bool:
        """Return whether nothing is expected of a loop."""
        return loop not in self._beats

    def progressed(self) -> None:
        """Record that a piece of work was started or ended."""
        self.progressed_at = time.monotonic()

    def stalled(self, since: float) -> str:
        """Return the first loop whose expected round is older than `since`, or an empty string."""
        return next((loop for loop, at in self._beats.items() if at < since), "")


class StageCheck:
    """Checks whether the canary is stuck at one daemon.

    Args:
        settings: `canary.*` and `n8n.timeout`.
        redis: the client of the daemon.
        liveness: the loops of the daemon and its last progress.
        name: the name under which the daemon holds leases and deliveries.
        stages: the stages that daemons of this kind must end.
        loop: the loop of `liveness` that takes new work.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisClient,
        liveness: LivenessTracker,
        *,
        name: str,
        stages: Collection[CanaryStage],
        loop: str,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._liveness = liveness
        self._name = name
        self._stages = stages
        self._loop = loop
        self._last_seen: tuple[CanaryStage, str] | None = None
        self._stalled_since = 0.0

    async def find_fault(self, grace_s: float) -> str:
        """Return how this daemon holds up the canary, or an empty string.

        Args:
            grace_s: seconds without progress that are accepted.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if not self._settings.canary.interval:
            return ""
        location = await locate_canary(self._redis)
        seen = (location.stage, location.message_id) if self._is_mine(location) else None
        now = time.monotonic()
        if seen != self._last_seen or seen is None:
            self._last_seen, self._stalled_since = seen, now
            return ""
        self._stalled_since = max(self._stalled_since, self._liveness.progressed_at)
        is_stuck = now - self._stalled_since > self._allowed_stall_s(location, grace_s)
        return f"{location.sentence}, and nothing moves here" if is_stuck else ""

    def _is_mine(self, location: CanaryLocation) -> bool:
        if location.stage not in self._stages:
            return False
        return location.holder == self._name if location.holder else not self._liveness.is_idle(self._loop)

    def _allowed_stall_s(self, location: CanaryLocation, grace_s: float) -> float:
        """Allow a canary that is sent to n8n as much time as any message."""
        through_n8n = location.stage is CanaryStage.RUNNING and self._settings.canary.agent
        return grace_s + (self._settings.n8n.timeout if through_n8n else 0)


class Watchdog:
    """Checks whether the daemon makes progress.

    Args:
        settings: the address of Redis and `redis.timeout`.
        liveness: the loops of the daemon.
        status: describes the state of the daemon. Its success shows that the Redis client of the daemon works.
        stage_check: finds a canary that is stuck at this daemon. None where no canary passes.
        grace_s: seconds without progress that are accepted.
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
        """Return the lines for systemd: always STATUS=, and WATCHDOG=1 unless the daemon is stuck."""
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
                self._liveness.progressed()  # without Redis, no progress was possible
                return ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]
        if fault := self._find_fault():
            if rejection := await self._find_write_rejection():
                return [f"STATUS={rejection}", "WATCHDOG=1"]
            log.error("Stuck: the watchdog is not fed", fault=fault)
            return [f"STATUS=stuck: {fault}"]
        return [f"STATUS={self._status_line}", "WATCHDOG=1"]

    async def _find_write_rejection(self) -> str:
        """Return why Redis rejects writes, or an empty string if it accepts them."""
        try:
            await ping_new_connection(self._settings, check_write=True)
        except RedisUnavailable as rejection:
            self._excused_at = self._answered_at = time.monotonic()
            self._liveness.progressed()
            return rejection.message
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
    """Feed the systemd watchdog while the context lasts, if there is one (WATCHDOG_USEC)."""
    seconds = sd_notify.watchdog_seconds()
    if not seconds:
        yield
        return
    watchdog = Watchdog(settings, liveness, status, stage_check=stage_check)
    async with background(_feed(watchdog, min(seconds / 4, MAX_FEED_INTERVAL_S))):
        yield


async def _feed(watchdog: Watchdog, interval_s: float) -> None:
    while True:
        sd_notify.send(*await watchdog.check(), timeout_s=0)
        await asyncio.sleep(interval_s)


class WaitingCounts(NamedTuple):
    """The number of messages that no worker has leased."""

    total: int
    claimable: int
    """Those that a worker with a free slot can lease now: neither their priority nor RQ as a whole is paused."""


async def count_waiting(redis: RedisClient) -> WaitingCounts:
    """Count the waiting messages in one round trip."""
    async with redis.pipeline(transaction=False) as pipeline:
        for queue in keys.QUEUES:
            pipeline.llen(keys.RQ_QUEUE + queue)
        pipeline.smembers(keys.PAUSED)
        pipeline.exists(keys.RQ_SUSPENDED)
        *lengths, paused, suspended = await pipeline.execute()
    claimable = sum(length for queue, length in zip(keys.QUEUES, lengths, strict=True) if queue not in paused)
    return WaitingCounts(sum(lengths), 0 if suspended else claimable)
