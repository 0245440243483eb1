"""The worker's loop: as many messages at once as there are slots, in one thread, woken and never polling.

claim  ── takes messages into free slots; with slots left over, waits inside Redis to be woken
slots  ── one task a message, each running `Pipeline.process`
tend   ── each second: heartbeat, promote, reap
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from daemons.runtime.liveness import LivenessTracker
from daemons.worker.maintenance import Maintainer, PeriodicTask
from daemons.worker.operator_commands import OperatorCommands
from daemons.worker.quarantine import QuarantineKeeper
from daemons.worker.slots import Slots
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.observability import logs
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.leases import LeaseClient, ProgressWriter
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

WAKE_TIMEOUT_S = 1.0
"""Seconds an idle worker waits inside Redis at a time, should the one who wakes it have died in between."""
MAX_CLAIMED_AT_ONCE = 200
"""Messages claimed in one step, so that Redis serves others between two of them."""
REDIS_RETRY_INTERVAL_S = 0.5
"""Seconds before Redis is asked again after it failed."""
CLAIM_PROGRESS = "taking what waits"
"""What the watchdog calls a loop that comes round and brings nothing."""

log = logs.get_logger(__name__)


class WorkLoop:
    """Runs until it is told to stop; then drains.

    Args:
        settings: `worker.*`.
        name: this worker's.
        claims, progress, pipeline: what it works with.
        register: enters this worker among RQ's anew, should Redis have forgotten it.
        periodic_tasks: what is to be done each second besides tending.
        waiting: a dedicated client, for waiting to be woken.
        liveness: told of each round of claiming and of tending.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        leases: LeaseClient,
        progress: ProgressWriter,
        pipeline: Pipeline,
        register: PeriodicTask,
        periodic_tasks: Sequence[PeriodicTask],
        waiting: RedisClient,
        liveness: LivenessTracker,
    ) -> None:
        self._settings = settings.worker
        self._wake_key = keys.WAKE + name
        self._leases = leases
        self._progress = progress
        self._pipeline = pipeline
        self._register = register
        self._periodic_tasks = list(periodic_tasks)
        self._blocking_client = waiting
        self._liveness = liveness
        self._slots = Slots(self._settings.concurrency, pipeline.process)
        self._may_claim = asyncio.Event()

    @property
    def running_count(self) -> int:
        """How many messages run now."""
        return len(self._slots.leases)

    def expect_claims(self, claimable: int) -> None:
        """Tell the watchdog whether the next claims ought to bring something.

        Args:
            claimable: messages that wait and that nobody has paused, as counted just now.
        """
        if claimable and self._slots.free_count and self._may_claim.is_set():
            self._liveness.expect(CLAIM_PROGRESS)
        else:
            self._liveness.idle(CLAIM_PROGRESS)

    async def run(self, stopping: asyncio.Event, force_stop: asyncio.Event) -> None:
        """Work until `stopping`; then let running messages end until the deadline or until `hurried`."""
        slots = self._slots
        orders = OperatorCommands(self._leases, stopping)
        quarantine = QuarantineKeeper(self._leases, orders.may_claim)
        self._periodic_tasks.append(orders.apply_command)
        self._may_claim = orders.may_claim
        try:
            await self._work(slots, self._claim(slots, orders.may_claim), quarantine, stopping, force_stop)
        finally:
            await quarantine.stop()

    async def run_quarantine(self, stopping: asyncio.Event, force_stop: asyncio.Event) -> None:
        """Work the quarantine, one message at a time, until it is empty or `stopping`."""
        slots = Slots(1, self._pipeline.process)
        await self._work(slots, self._claim_quarantine(slots), None, stopping, force_stop)

    async def _work(
        self,
        slots: Slots,
        claim: Coroutine[Any, Any, None],
        quarantine: QuarantineKeeper | None,
        stopping: asyncio.Event,
        force_stop: asyncio.Event,
    ) -> None:
        tender = Maintainer(
            self._leases,
            slots,
            lease=self._settings.lease,
            register=self._register,
            periodic_tasks=self._periodic_tasks,
            quarantine=quarantine,
            liveness=self._liveness,
        )
        background = [asyncio.create_task(tender.run()), asyncio.create_task(self._progress.run())]
        claiming = asyncio.create_task(claim)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait([claiming, stopped, *background], return_when=asyncio.FIRST_COMPLETED)
        try:
            await cancel(claiming, stopped)
        finally:
            await self._drain(slots, force_stop)
            await cancel(*background)

    async def _claim(self, slots: Slots, may_claim: asyncio.Event) -> None:
        """Fill free slots for ever, while that is allowed."""
        reply_lost = False
        while True:
            self._liveness.idle("claiming")
            await may_claim.wait()
            if not slots.free_count:
                await slots.wait_for_free_slot()
                self._liveness.progressed()
                continue
            self._liveness.beat("claiming")
            try:
                if reply_lost:
                    await self._leases.requeue_unknown(slots.leases)
                filled = await self._fill(slots)
                reply_lost = False
                if not filled:
                    await self._blocking_client.blpop([self._wake_key], timeout=WAKE_TIMEOUT_S)
            except (RedisUnavailable, RedisError) as outage:
                if not reply_lost:
                    log.warning("Redis client error: cannot claim", error=str(outage))
                reply_lost = True
                await asyncio.sleep(REDIS_RETRY_INTERVAL_S)

    async def _fill(self, slots: Slots) -> bool:
        """Claim into the free slots; whether there was a message for each of them, and there may be more."""
        free = min(slots.free_count, MAX_CLAIMED_AT_ONCE)
        claimed = await self._leases.claim(free)
        for one in claimed:
            slots.start(one)
        if claimed:
            self._liveness.progressed()
            self._liveness.idle(CLAIM_PROGRESS)
        return len(claimed) == free

    async def _claim_quarantine(self, slots: Slots) -> None:
        """Run one message after the other until there are no more."""
        while claimed := await self._leases.claim(1, quarantine=True):
            slots.start(claimed[0])
            await slots.wait_for_free_slot()

    async def _drain(self, slots: Slots, force_stop: asyncio.Event) -> None:
        """Take nothing more, let running messages end, hand the rest back uncharged."""
        self._may_claim = asyncio.Event()  # nothing is expected any more, whatever an operator orders now
        self._liveness.idle("claiming")
        with suppress(RedisUnavailable):  # an outage: what cannot be handed back is reaped later
            await self._leases.deregister()
            await self._leases.requeue_unknown(slots.leases)
        left = await slots.drain(self._settings.drain, force_stop)
        if left:
            log.info("Handed back", messages=await self._leases.requeue(left))
