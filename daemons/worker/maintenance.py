"""What a worker does besides working, each second: show that it lives, and look after everybody's messages."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from daemons.runtime.liveness import LivenessTracker
from daemons.worker.quarantine import QuarantineKeeper
from daemons.worker.slots import Slots
from msgctl.domain.errors import RedisUnavailable
from msgctl.observability import logs
from msgctl.queue.leases import LeaseClient

QUEUE_MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between two rounds; less where a third of the lease is less."""

log = logs.get_logger(__name__)

PeriodicTask = Callable[[], Awaitable[None]]


class Maintainer:
    """Renews this worker's leases, promotes what is due, reaps what lost its worker, keeps the quarantine.

    Args:
        leases: this worker's.
        slots: what it runs.
        lease: seconds a lease lasts; renewed each third of it.
        register: enters this worker among RQ's anew.
        periodic_tasks: what else is to be done each second.
        quarantine: None for a worker that only works the quarantine itself.
        liveness: told of each round.
    """

    def __init__(
        self,
        leases: LeaseClient,
        slots: Slots,
        *,
        lease: float,
        register: PeriodicTask,
        periodic_tasks: list[PeriodicTask],
        quarantine: QuarantineKeeper | None,
        liveness: LivenessTracker,
    ) -> None:
        self._leases = leases
        self._slots = slots
        self._renewal_interval_s = lease / 3
        self._register = register
        self._periodic_tasks = periodic_tasks
        self._quarantine = quarantine
        self._liveness = liveness
        self._next_heartbeat_at = 0.0

    async def run(self) -> None:
        """Tend for ever."""
        while True:
            self._liveness.beat("tending")
            try:
                await self._heartbeat()
                await self._maintain()
                for chore in self._periodic_tasks:
                    await chore()
            except RedisUnavailable as outage:
                self._next_heartbeat_at = 0.0  # at once when Redis is back: leases may have run out meanwhile
                log.warning("Redis client error: cannot tend", error=outage.message)
            await asyncio.sleep(min(QUEUE_MAINTENANCE_INTERVAL_S, self._renewal_interval_s))

    async def _heartbeat(self) -> None:
        if time.monotonic() < self._next_heartbeat_at:
            return
        leases = self._slots.leases
        for lost in await self._leases.heartbeat(leases, "busy" if leases else "idle"):
            self._slots.cancel_lost(lost)
        if not self._leases.registered:
            await self._register()
            log.info("RQ had forgotten this worker, and knows it again")
        self._next_heartbeat_at = time.monotonic() + self._renewal_interval_s

    async def _maintain(self) -> None:
        tended = await self._leases.maintain()
        if tended.reaped:
            log.warning("Leases ran out", messages=tended.reaped, deadLetters=tended.dead_lettered)
        if self._quarantine:
            await self._quarantine.ensure_worker(tended.quarantined)
