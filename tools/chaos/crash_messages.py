"""Messages that kill the process they run in, among others that must not suffer for it."""

import random
import time
from dataclasses import dataclass

from msgctl.domain.messages import State
from msgctl.local.fakes.n8n import N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from tools.chaos.crashing_worker import POISON
from tools.chaos.environment import Place
from tools.chaos.worker_pool import Crew

PROGRAM = ("-m", "tools.chaos.crashing_worker")


@dataclass(frozen=True)
class Plan:
    """How much of it."""

    messages: int
    poisons: int
    workers: int
    concurrency: int
    lease: float
    max_crashes: int


FULL = Plan(4000, 8, workers=4, concurrency=25, lease=2.0, max_crashes=3)
SHORT = Plan(300, 2, workers=2, concurrency=10, lease=1.5, max_crashes=2)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    messages: int
    poisons: int
    dead_poisons: int
    dead_innocents: int
    innocents_in_quarantine: int
    """Innocent messages that were worked alone for a while, and answered."""
    deaths: int
    seconds: float
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether exactly the poisons are dead letters."""
        return self.dead_poisons == self.poisons and not self.dead_innocents and self.verdict.holds


async def poison(place: Place, plan: Plan) -> Report:
    """Send them all, with the poisons somewhere in between, and see who is dead at the end."""
    begun = time.monotonic()
    place.n8n.reset(N8nBehavior(delay=20))
    place.with_worker(lease=plan.lease, concurrency=plan.concurrency, max_crashes=plan.max_crashes)
    ids = [f"m{number}" for number in range(plan.messages)]
    deadly = set(random.sample(ids, plan.poisons))
    for message_id in ids:
        text = POISON if message_id in deadly else "hello"
        await place.send(message_id, f"c-{message_id}", text=text)
    async with Crew(place.settings, plan.workers, program=PROGRAM) as crew:
        await place.all_over(plan.messages)
        deaths = crew.deaths
    jobs = [job for job in await place.queue.find_many(ids) if job is not None]
    dead = {job.message.message_id for job in jobs if job.state is State.FAILED}
    alone = [job for job in jobs if job.state is State.COMPLETED and job.crashes >= plan.max_crashes]
    return Report(
        messages=plan.messages,
        poisons=plan.poisons,
        dead_poisons=len(dead & deadly),
        dead_innocents=len(dead - deadly),
        innocents_in_quarantine=len(alone),
        deaths=deaths,
        seconds=time.monotonic() - begun,
        verdict=await InvariantVerification(Context(place.settings, place.redis)).run(),
    )
