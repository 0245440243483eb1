"""The loop of the worker: as many messages at a time as it has slots, in one thread, without polling.

claim     ── leases messages for free slots; if slots stay free, blocks in Redis until it is woken
slots     ── one task for each message, which runs `Pipeline.process`
maintain  ── each second: heartbeat, promote, reap
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from daemons.runtime.watchdog import LivenessTracker
from daemons.worker.maintenance import Maintainer, PeriodicTask
from daemons.worker.operator_commands import OperatorCommands
from daemons.worker.quarantine import QuarantineKeeper
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.progress import ProgressWriter
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.retry import OutageLog, RedisRetry

WAKE_TIMEOUT_S = 1.0
"""Seconds an idle worker blocks in Redis at a time, in case the process that should wake it has died."""
MAX_CLAIMED_AT_ONCE = 200
"""Messages leased by one script call, so that Redis serves other clients in between."""
REDIS_RETRY_INTERVAL_S = 0.5
"""Seconds before Redis is asked again after it failed."""
CLAIM_PROGRESS = "claiming of waiting messages"
"""The name in the watchdog of a claim loop that makes rounds but leases nothing."""

ProcessMessage = Callable[[LeasedMessage], Awaitable[None]]

log = logs.get_logger(__name__)


class Slots:
    """Runs up to `size` messages at a time, each in its own task.

    Args:
        size: the number of slots.
        process: processes a message and records its outcome.
    """

    def __init__(self, size: int, process: ProcessMessage) -> None:
        self._size = size
        self._process = process
        self._running: dict[str, tuple[LeasedMessage, asyncio.Task[None]]] = {}
        self._slot_freed = asyncio.Event()

    @property
    def free_count(self) -> int:
        """The number of free slots."""
        return self._size - len(self._running)

    def list_leases(self) -> list[str]:
        """Return `id:run` of each running message."""
        return list(self._running)

    def start(self, leased: LeasedMessage) -> None:
        """Run a message in a free slot."""
        task = asyncio.create_task(self._run(leased))
        self._running[leased.lease] = (leased, task)

    async def wait_for_free_slot(self) -> None:
        """Return when a message has ended since the last call."""
        await self._slot_freed.wait()
        self._slot_freed.clear()

    def cancel_lost(self, lease: str) -> None:
        """Stop the message of a lease that was lost: another worker has it, or will get it."""
        if lease in self._running:
            leased, task = self._running[lease]
            metrics.LEASES_LOST.inc()
            log.warning("Lease lost", messageId=leased.message.message_id, run=leased.run)
            task.cancel()

    async def drain(self, timeout_s: float, force_stop: asyncio.Event) -> list[LeasedMessage]:
        """Let running messages end until the timeout or `force_stop`. Cancel and return the rest."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            log.info("Draining", running=len(tasks), seconds=timeout_s)
            forced = asyncio.create_task(force_stop.wait())
            ended = asyncio.create_task(asyncio.wait(tasks))
            await asyncio.wait({forced, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            await cancel(forced, ended)
        left = list(self._running.values())
        await cancel(*(task for _, task in left))
        return [leased for leased, _ in left]

    async def _run(self, leased: LeasedMessage) -> None:
        try:
            await self._process(leased)
        except Exception:  # its lease expires and another worker gets it; the other slots must not suffer
            log.exception("Outcome of a message could not be written", messageId=leased.message.message_id)
        finally:
            del self._running[leased.lease]
            self._slot_freed.set()


class WorkLoop:
    """Leases and processes messages until the worker stops, and then drains.

    Args:
        settings: `worker.*`.
        name: the name of this worker.
        leases: the lease client of this worker.
        progress: writes the progress of running messages.
        pipeline: processes a message.
        register: registers this worker with RQ again if Redis has lost the registration.
        periodic_tasks: further tasks of each round of maintenance.
        waiting: a client of its own, which blocks until this worker is woken.
        liveness: records each round of claiming and of maintenance.
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
        """The number of running messages."""
        return len(self._slots.list_leases())

    def expect_claims(self, claimable: int) -> None:
        """Tell the watchdog whether the next claims should lease a message.

        Args:
            claimable: waiting messages whose priority is not paused, counted just now.
        """
        if claimable and self._slots.free_count and self._may_claim.is_set():
            self._liveness.expect(CLAIM_PROGRESS)
        else:
            self._liveness.idle(CLAIM_PROGRESS)

    async def run(self, stopping: asyncio.Event, force_stop: asyncio.Event) -> None:
        """Work until `stopping`. Then let running messages end until the drain timeout or `force_stop`."""
        slots = self._slots
        commands = OperatorCommands(self._leases, stopping)
        quarantine = QuarantineKeeper(self._leases, commands.may_claim)
        self._periodic_tasks.append(commands.apply_command)
        self._may_claim = commands.may_claim
        try:
            await self._work(slots, self._claim(slots, commands.may_claim), quarantine, stopping, force_stop)
        finally:
            await quarantine.stop()

    async def run_quarantine(self, stopping: asyncio.Event, force_stop: asyncio.Event) -> None:
        """Process the quarantine, one message at a time, until it is empty or `stopping`."""
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
        maintainer = Maintainer(
            self._leases,
            list_leases=slots.list_leases,
            cancel_lost=slots.cancel_lost,
            lease_s=self._settings.lease,
            register=self._register,
            periodic_tasks=self._periodic_tasks,
            quarantine=quarantine,
            liveness=self._liveness,
        )
        background = [asyncio.create_task(maintainer.run()), asyncio.create_task(self._progress.run())]
        claiming = asyncio.create_task(claim)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait([claiming, stopped, *background], return_when=asyncio.FIRST_COMPLETED)
        try:
            await cancel(claiming, stopped)
        finally:
            await self._drain(slots, force_stop)
            await cancel(*background)

    async def _claim(self, slots: Slots, may_claim: asyncio.Event) -> None:
        """Fill free slots until cancelled, while `may_claim` is set."""
        outage = OutageLog("claim", "Redis client error: cannot claim")
        while True:
            self._liveness.idle("claiming")
            await may_claim.wait()
            if not slots.free_count:
                await slots.wait_for_free_slot()
                self._liveness.progressed()
                continue
            self._liveness.beat("claiming")
            try:
                if outage.is_down:  # a lost reply may have carried leases
                    await self._leases.requeue_unknown(slots.list_leases())
                filled = await self._fill(slots)
                if not filled:
                    await self._blocking_client.blpop([self._wake_key], timeout=WAKE_TIMEOUT_S)
                outage.succeeded()
            except REDIS_FAULTS as error:
                outage.failed(error)
                await asyncio.sleep(REDIS_RETRY_INTERVAL_S)

    async def _fill(self, slots: Slots) -> bool:
        """Lease messages for the free slots. Return whether all were filled, so that more may wait."""
        free = min(slots.free_count, MAX_CLAIMED_AT_ONCE)
        leased_messages = await self._leases.claim(free)
        for leased in leased_messages:
            slots.start(leased)
        if leased_messages:
            self._liveness.progressed()
            self._liveness.idle(CLAIM_PROGRESS)
        return len(leased_messages) == free

    async def _claim_quarantine(self, slots: Slots) -> None:
        """Run one message after the other until the quarantine is empty."""
        redis_retry = RedisRetry("claim from the quarantine")
        while leased_messages := await redis_retry.run_until_success(self._claim_quarantined):
            slots.start(leased_messages[0])
            await slots.wait_for_free_slot()

    async def _claim_quarantined(self) -> list[LeasedMessage]:
        return await self._leases.claim(1, quarantine=True)

    async def _drain(self, slots: Slots, force_stop: asyncio.Event) -> None:
        """Take no new messages, let running ones end, and requeue the rest without counting an attempt."""
        self._may_claim = (
            asyncio.Event()
        )  # the watchdog expects no claims from now on, whatever an operator commands
        self._liveness.idle("claiming")
        with suppress(*REDIS_FAULTS):  # messages that cannot be requeued now are reaped later
            await self._leases.deregister()
            await self._leases.requeue_unknown(slots.list_leases())
        left = await slots.drain(self._settings.drain, force_stop)
        if left:
            with suppress(*REDIS_FAULTS):
                log.info("Messages requeued", messages=await self._leases.requeue(left))
