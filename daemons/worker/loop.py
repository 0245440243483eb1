"""The worker's loop: as many messages at once as there are slots, in one thread, woken and never polling.

claim  ── takes messages into free slots; with slots left over, waits inside Redis to be woken
slots  ── one task a message, each running `Pipeline.work`
tend   ── each second: heartbeat, promote, reap
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from daemons._pace import Pace
from daemons.worker.orders import Orders
from daemons.worker.quarantine import Quarantine
from daemons.worker.slots import Slots
from daemons.worker.tending import Chore, Tender
from msgctl import contracts, logs
from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable
from msgctl.pipeline import Pipeline
from msgctl.redisdb.client import RedisClient
from msgctl.rqueue.claims import Claims
from msgctl.rqueue.progress import Progress
from msgctl.tasks import cancel

WAKE_BLOCK = 1.0
"""Seconds an idle worker waits inside Redis at a time, should the one who wakes it have died in between."""
LARGEST_CLAIM = 200
"""Messages claimed in one step, so that Redis serves others between two of them."""
OUTAGE_PAUSE = 0.5
"""Seconds before Redis is asked again after it failed."""
TAKING = "taking what waits"
"""What the watchdog calls a loop that comes round and brings nothing."""

log = logs.get(__name__)


class WorkLoop:
    """Runs until it is told to stop; then drains.

    Args:
        settings: `worker.*`.
        name: this worker's.
        claims, progress, pipeline: what it works with.
        register: enters this worker among RQ's anew, should Redis have forgotten it.
        chores: what is to be done each second besides tending.
        waiting: a dedicated client, for waiting to be woken.
        pace: told of each round of claiming and of tending.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        claims: Claims,
        progress: Progress,
        pipeline: Pipeline,
        register: Chore,
        chores: Sequence[Chore],
        waiting: RedisClient,
        pace: Pace,
    ) -> None:
        self._settings = settings.worker
        self._wake_key = contracts.WAKE + name
        self._claims = claims
        self._progress = progress
        self._pipeline = pipeline
        self._register = register
        self._chores = list(chores)
        self._waiting = waiting
        self._pace = pace
        self._slots = Slots(self._settings.concurrency, pipeline.work)
        self._may_claim = asyncio.Event()

    @property
    def running(self) -> int:
        """How many messages run now."""
        return len(self._slots.leases)

    def expect_claims(self, claimable: int) -> None:
        """Tell the watchdog whether the next claims ought to bring something.

        Args:
            claimable: messages that wait and that nobody has paused, as counted just now.
        """
        if claimable and self._slots.free and self._may_claim.is_set():
            self._pace.expect(TAKING)
        else:
            self._pace.rest(TAKING)

    async def run(self, stopping: asyncio.Event, hurried: asyncio.Event) -> None:
        """Work until `stopping`; then let running messages end until the deadline or until `hurried`."""
        slots = self._slots
        orders = Orders(self._claims, stopping)
        quarantine = Quarantine(self._claims, orders.may_claim)
        self._chores.append(orders.look)
        self._may_claim = orders.may_claim
        try:
            await self._work(slots, self._claim(slots, orders.may_claim), quarantine, stopping, hurried)
        finally:
            await quarantine.stop()

    async def run_quarantine(self, stopping: asyncio.Event, hurried: asyncio.Event) -> None:
        """Work the quarantine, one message at a time, until it is empty or `stopping`."""
        slots = Slots(1, self._pipeline.work)
        await self._work(slots, self._claim_quarantine(slots), None, stopping, hurried)

    async def _work(
        self,
        slots: Slots,
        claim: Coroutine[Any, Any, None],
        quarantine: Quarantine | None,
        stopping: asyncio.Event,
        hurried: asyncio.Event,
    ) -> None:
        tender = Tender(
            self._claims,
            slots,
            lease=self._settings.lease,
            register=self._register,
            chores=self._chores,
            quarantine=quarantine,
            pace=self._pace,
        )
        background = [asyncio.create_task(tender.run()), asyncio.create_task(self._progress.run())]
        claiming = asyncio.create_task(claim)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait([claiming, stopped, *background], return_when=asyncio.FIRST_COMPLETED)
        try:
            await cancel(claiming, stopped)
        finally:
            await self._drain(slots, hurried)
            await cancel(*background)

    async def _claim(self, slots: Slots, may_claim: asyncio.Event) -> None:
        """Fill free slots for ever, while that is allowed."""
        reply_lost = False
        while True:
            self._pace.rest("claiming")
            await may_claim.wait()
            if not slots.free:
                await slots.one_freed()
                self._pace.moved()
                continue
            self._pace.mark("claiming")
            try:
                if reply_lost:
                    await self._claims.disown(slots.leases)
                filled = await self._fill(slots)
                reply_lost = False
                if not filled:
                    await self._waiting.blpop([self._wake_key], timeout=WAKE_BLOCK)
            except (RedisUnavailable, RedisError) as outage:
                if not reply_lost:
                    log.warning("Redis client error: cannot claim", error=str(outage))
                reply_lost = True
                await asyncio.sleep(OUTAGE_PAUSE)

    async def _fill(self, slots: Slots) -> bool:
        """Claim into the free slots; whether there was a message for each of them, and there may be more."""
        free = min(slots.free, LARGEST_CLAIM)
        claimed = await self._claims.claim(free)
        for one in claimed:
            slots.start(one)
        if claimed:
            self._pace.moved()
            self._pace.rest(TAKING)
        return len(claimed) == free

    async def _claim_quarantine(self, slots: Slots) -> None:
        """Run one message after the other until there are no more."""
        while claimed := await self._claims.claim(1, quarantine=True):
            slots.start(claimed[0])
            await slots.one_freed()

    async def _drain(self, slots: Slots, hurried: asyncio.Event) -> None:
        """Take nothing more, let running messages end, hand the rest back uncharged."""
        self._may_claim = asyncio.Event()  # nothing is expected any more, whatever an operator orders now
        self._pace.rest("claiming")
        with suppress(RedisUnavailable):  # an outage: what cannot be handed back is reaped later
            await self._claims.retire()
            await self._claims.disown(slots.leases)
        left = await slots.drain(self._settings.drain, hurried)
        if left:
            log.info("Handed back", messages=await self._claims.hand_back(left))
