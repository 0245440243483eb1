"""The maintenance by a worker each second: heartbeat, due messages, expired leases, and the quarantine."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from daemons.runtime.watchdog import LivenessTracker
from daemons.worker.quarantine import QuarantineKeeper
from msgctl.observability import logs
from msgctl.queue.leases import LeaseClient
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.retry import OutageLog

QUEUE_MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between two rounds, or a third of the lease if that is shorter."""

log = logs.get_logger(__name__)

PeriodicTask = Callable[[], Awaitable[None]]


class Maintainer:
    """Renews the leases of this worker, promotes due messages, reaps expired leases, and keeps the quarantine.

    Args:
        leases: the lease client of this worker.
        list_leases: returns `id:run` of each running message.
        cancel_lost: stops the message of a lease that was lost.
        lease_s: seconds a lease lasts. It is renewed after a third of them.
        register: registers this worker with RQ again.
        periodic_tasks: further tasks of each round.
        quarantine: None in the child that runs the quarantine.
        liveness: records each round.
    """

    def __init__(
        self,
        leases: LeaseClient,
        *,
        list_leases: Callable[[], list[str]],
        cancel_lost: Callable[[str], None],
        lease_s: float,
        register: PeriodicTask,
        periodic_tasks: list[PeriodicTask],
        quarantine: QuarantineKeeper | None,
        liveness: LivenessTracker,
    ) -> None:
        self._leases = leases
        self._list_leases = list_leases
        self._cancel_lost = cancel_lost
        self._renewal_interval_s = lease_s / 3
        self._register = register
        self._periodic_tasks = periodic_tasks
        self._quarantine = quarantine
        self._liveness = liveness
        self._next_heartbeat_at = 0.0

    async def run(self) -> None:
        """Do rounds until cancelled. A fault of Redis ends a round, never the worker."""
        outage = OutageLog("maintain the queue", "Redis client error: cannot maintain the queue")
        while True:
            self._liveness.beat("maintenance")
            try:
                await self._heartbeat()
                await self._maintain()
                for run_task in self._periodic_tasks:
                    await run_task()
            except REDIS_FAULTS as error:
                self._next_heartbeat_at = 0.0  # due as soon as Redis is back: leases may have expired
                outage.failed(error)
            else:
                outage.succeeded()
            await asyncio.sleep(min(QUEUE_MAINTENANCE_INTERVAL_S, self._renewal_interval_s))

    async def _heartbeat(self) -> None:
        if time.monotonic() < self._next_heartbeat_at:
            return
        leases = self._list_leases()
        for lost in await self._leases.heartbeat(leases, "busy" if leases else "idle"):
            self._cancel_lost(lost)
        if not self._leases.registered:
            await self._register()
            log.info("Worker registered with RQ again")
        self._next_heartbeat_at = time.monotonic() + self._renewal_interval_s

    async def _maintain(self) -> None:
        result = await self._leases.maintain()
        if result.reaped:
            log.warning("Expired leases reaped", messages=result.reaped, deadLetters=result.dead_lettered)
        if self._quarantine:
            await self._quarantine.ensure_worker(result.quarantined)
