"""Every message is sent twice, many of them at the same instant: each runs once."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

from msgctl.local.fakes.n8n import N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from msgctl.queue.queue import EnqueueStatus as Answer
from tools.chaos.environment import Place
from tools.chaos.worker_pool import Crew

SENDERS = 50


@dataclass(frozen=True)
class Report:
    """What came of it."""

    pairs: int
    accepted: int
    repeated: int
    conflicts: int
    """Answers to a third sending, with another body."""
    runs: int
    n8n_calls: int
    seconds: float
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether each pair was one message."""
        counts = {self.accepted, self.repeated, self.conflicts, self.runs, self.n8n_calls}
        return counts == {self.pairs} and self.verdict.holds


async def pairs(place: Place, count: int) -> Report:
    """Send so many pairs, and a third message with the same id and another body, while two workers work."""
    begun = time.monotonic()
    place.n8n.reset(N8nBehavior())
    place.with_worker(concurrency=50)
    ids = [f"m{number}" for number in range(count)]
    answers: Counter[Answer] = Counter()
    lines = asyncio.Semaphore(SENDERS)

    async def send(message_id: str) -> None:
        async with lines:
            first, second = (place.send(message_id, f"c-{message_id}") for _ in range(2))
            if random.random() < 0.5:
                answers.update(await asyncio.gather(first, second))
            else:
                answers.update([await first, await second])
            answers[await place.send(message_id, f"c-{message_id}", text="something else")] += 1

    async with Crew(place.settings, 2):
        await asyncio.gather(*map(send, ids))
        await place.all_over(count)
    jobs = [job for job in await place.queue.find_many(ids) if job is not None]
    return Report(
        pairs=count,
        accepted=answers[Answer.ACCEPTED],
        repeated=answers[Answer.REPEATED],
        conflicts=answers[Answer.CONFLICT],
        runs=sum(job.runs for job in jobs),
        n8n_calls=place.n8n.calls_by_message.total(),
        seconds=time.monotonic() - begun,
        verdict=await InvariantVerification(Context(place.settings, place.redis)).run(),
    )
