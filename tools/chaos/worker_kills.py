"""A worker is killed: how long until what it ran is at work again?"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from msgctl.aio import cancel
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from msgctl.operations.workers import Workers
from tools.bench.measure import quantile
from tools.chaos.environment import Place
from tools.chaos.worker_pool import Crew, Kill
from tools.support.daemons import until

NOTICED = 5.0
"""Seconds beyond the lease within which everything must be at work again."""
THINKING = 1.0
"""Seconds n8n thinks."""
WAITING = 50
"""Messages that wait at any time, so that no worker is idle."""
ENDED = {"committed", "failed", "held", "handed_back", "buried", "crashed"}


@dataclass(frozen=True)
class Plan:
    """How much of it; times in seconds."""

    kills: int
    workers: int
    concurrency: int
    lease: float


FULL = Plan(kills=20, workers=4, concurrency=20, lease=5.0)
SHORT = Plan(kills=2, workers=3, concurrency=10, lease=1.5)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    kills: int
    orphans: int
    """Messages the killed workers ran."""
    at_work_again: float
    """Seconds from the kill until another worker had claimed them, the 99th percentile."""
    longest: float
    limit: float
    """The lease and five seconds."""
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether the deaths were noticed in time."""
        return self.orphans >= self.kills and self.at_work_again <= self.limit and self.verdict.holds


async def deaths(place: Place, plan: Plan) -> Report:
    """Kill one worker after the other, each time while all of them work."""
    place.n8n.reset(N8nBehavior(delay=THINKING * 1000))
    place.with_worker(lease=plan.lease, concurrency=plan.concurrency)
    sender = _Sender(place)
    async with Crew(place.settings, plan.workers) as crew:
        sending = asyncio.create_task(sender.send_for_ever())
        for number in range(plan.kills):
            await until(lambda: _all_work(place, crew, plan), "all workers to work")
            crew.kill_one()
            assert len(crew.kills) == number + 1  # noqa: S101 - all of them live
        await asyncio.sleep(plan.lease)
        await cancel(sending)
        await place.all_over(sender.sent)
    seconds = await _follow(Ledger(place.redis), crew.kills)
    return Report(
        kills=plan.kills,
        orphans=len(seconds),
        at_work_again=quantile(seconds, 0.99),
        longest=max(seconds),
        limit=plan.lease + NOTICED,
        verdict=await InvariantVerification(Context(place.settings, place.redis)).run(),
    )


class _Sender:
    """Keeps some messages waiting."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.sent = 0

    async def send_for_ever(self) -> None:
        while True:
            if (await self._place.stats()).waiting < WAITING:
                for _ in range(WAITING):
                    self.sent += 1
                    await self._place.send(f"m{self.sent}", f"c{self.sent}")
            await asyncio.sleep(0.1)


async def _all_work(place: Place, crew: Crew, plan: Plan) -> bool:
    """Whether each worker that there shall be is there, with something to do, and all of them with much."""
    alive = await Workers(Context(place.settings, place.redis, place.queue)).list_alive()
    running = {worker["pid"]: len(worker["running"]) for worker in alive}
    each = [running.get(pid, 0) for pid in crew.pids]
    busy = [running for running in each if running]
    return len(busy) == plan.workers and sum(busy) >= plan.workers * plan.concurrency // 2


async def _follow(ledger: Ledger, kills: Sequence[Kill]) -> list[float]:
    """For each message that a killed worker ran: the seconds from the kill to the next claim."""
    running: dict[str, str] = {}
    lost: dict[str, float] = {}
    seconds: list[float] = []
    left = list(kills)
    async for events in ledger.iter_after("0-0"):
        for event in events:
            while left and left[0].at <= event.position[0]:
                kill = left.pop(0)
                orphans = [each for each, worker in running.items() if worker.rsplit("-", 2)[1] == str(kill.pid)]
                lost |= dict.fromkeys(orphans, kill.at)
            _see(event, running, lost, seconds)
    return seconds


def _see(event: Event, running: dict[str, str], lost: dict[str, float], seconds: list[float]) -> None:
    message_id = event.message_id
    if event.what == "claimed":
        running[message_id] = event.actor
        if message_id in lost:
            seconds.append((event.position[0] - lost.pop(message_id)) / 1000)
    elif event.what in ENDED:
        with suppress(KeyError):
            del running[message_id]
        if event.what != "crashed":
            lost.pop(message_id, None)
