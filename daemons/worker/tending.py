"""What a worker does besides working, each second: show that it lives, and look after everybody's messages."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from daemons._pace import Pace
from daemons.worker.quarantine import Quarantine
from daemons.worker.slots import Slots
from msgctl import logs
from msgctl.errors import RedisUnavailable
from msgctl.rqueue.claims import Claims

INTERVAL = 1.0
"""Seconds between two rounds; less where a third of the lease is less."""

log = logs.get(__name__)

Chore = Callable[[], Awaitable[None]]


class Tender:
    """Renews this worker's leases, promotes what is due, reaps what lost its worker, keeps the quarantine.

    Args:
        claims: this worker's.
        slots: what it runs.
        lease: seconds a lease lasts; renewed each third of it.
        register: enters this worker among RQ's anew.
        chores: what else is to be done each second.
        quarantine: None for a worker that only works the quarantine itself.
        pace: told of each round.
    """

    def __init__(
        self,
        claims: Claims,
        slots: Slots,
        *,
        lease: float,
        register: Chore,
        chores: list[Chore],
        quarantine: Quarantine | None,
        pace: Pace,
    ) -> None:
        self._claims = claims
        self._slots = slots
        self._renewal = lease / 3
        self._register = register
        self._chores = chores
        self._quarantine = quarantine
        self._pace = pace
        self._next_heartbeat = 0.0

    async def run(self) -> None:
        """Tend for ever."""
        while True:
            self._pace.mark("tending")
            try:
                await self._heartbeat()
                await self._tend()
                for chore in self._chores:
                    await chore()
            except RedisUnavailable as outage:
                self._next_heartbeat = 0.0  # at once when Redis is back: leases may have run out meanwhile
                log.warning("Redis client error: cannot tend", error=outage.message)
            await asyncio.sleep(min(INTERVAL, self._renewal))

    async def _heartbeat(self) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        leases = self._slots.leases
        for lost in await self._claims.heartbeat(leases, "busy" if leases else "idle"):
            self._slots.drop(lost)
        if not self._claims.registered:
            await self._register()
            log.info("RQ had forgotten this worker, and knows it again")
        self._next_heartbeat = time.monotonic() + self._renewal

    async def _tend(self) -> None:
        tended = await self._claims.tend()
        if tended.reaped:
            log.warning("Leases ran out", messages=tended.reaped, deadLetters=tended.buried)
        if self._quarantine:
            await self._quarantine.attend(tended.quarantined)
