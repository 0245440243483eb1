"""The storm: messages in many conversations, while workers are killed and frozen, n8n fails and Redis restarts."""

import asyncio
import random
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from msgctl.domain.messages import State
from msgctl.local.fakes.n8n import N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from msgctl.storage.redis import keys
from tools.chaos.environment import Place
from tools.chaos.worker_pool import Crew
from tools.support.daemons import Daemon

FAIL_ONCE = 0.1


@dataclass(frozen=True)
class Plan:
    """How bad it gets. Times are in seconds."""

    messages: int
    conversations: int
    workers: int
    concurrency: int
    kills: int
    freezes: int
    lease: float
    n8n: float
    """How long n8n thinks."""
    between: float
    """From one kill to the next, on average."""


FULL = Plan(20_000, 200, 4, 50, kills=60, freezes=10, lease=3.0, n8n=0.25, between=1.2)
SHORT = Plan(600, 20, 2, 20, kills=4, freezes=1, lease=2.0, n8n=0.1, between=1.5)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    accepted: int
    lost: int
    committed_twice: int
    inversions: int
    dead_letters: int
    kills: int
    freezes: int
    redis_restarts: int
    n8n_calls: int
    n8n_needed: int
    n8n_called_too_often: int
    """Calls beyond those needed: of messages whose worker died between n8n's answer and the commit."""
    seconds: float
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return (
            not (self.lost or self.committed_twice or self.inversions or self.dead_letters) and self.verdict.holds
        )


class Storm:
    """One run.

    Args:
        place: servers of its own.
        plan: how bad.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self._place = place
        self._plan = plan
        self._kills = self._freezes = 0
        place.with_worker(lease=plan.lease, concurrency=plan.concurrency)

    async def rage(self) -> Report:
        """Send everything, do everything, and look at what is left."""
        begun = time.monotonic()
        plan, place = self._plan, self._place
        place.n8n.reset(N8nBehavior(delay=plan.n8n * 1000, fail_once=FAIL_ONCE))
        async with Crew(place.settings, plan.workers) as crew, Daemon("subscriber", place.settings):
            deeds = asyncio.create_task(self._do_harm(crew))
            await asyncio.gather(*(self._converse(number) for number in range(plan.conversations)))
            await deeds
            await place.all_over(plan.messages)
            await place.all_delivered()
        return await self._report(time.monotonic() - begun)

    def conversation(self, number: int) -> list[str]:
        """The ids of one conversation, in order."""
        return [f"m{message}" for message in range(number, self._plan.messages, self._plan.conversations)]

    async def _converse(self, number: int) -> None:
        for message_id in self.conversation(number):
            await self._place.send(message_id, f"c{number}", priority=random.randint(1, 10))

    async def _do_harm(self, crew: Crew) -> None:
        plan = self._plan
        deeds = ["kill"] * plan.kills + ["freeze"] * plan.freezes + ["crash redis"]
        random.shuffle(deeds)
        frozen: list[asyncio.Task[None]] = []
        for deed in deeds:
            await asyncio.sleep(random.uniform(0.5, 1.5) * plan.between)
            if deed == "kill":
                crew.kill_one()
                self._kills += 1
            elif deed == "freeze":
                frozen.append(asyncio.create_task(crew.freeze_one(plan.lease + 2)))
                self._freezes += 1
            else:
                await self._place.crash_redis()
        await asyncio.gather(*frozen)

    async def _report(self, seconds: float) -> Report:
        place, plan = self._place, self._plan
        ids = [f"m{number}" for number in range(plan.messages)]
        jobs = [job for job in await place.queue.find_many(ids) if job is not None]
        over = Counter(job.state for job in jobs)
        committed = await self._committed()
        needed = plan.messages + sum(_fails_once(message_id) for message_id in ids)
        order = {number: committed.get(f"c{number}", []) for number in range(plan.conversations)}
        twice = sum(len(found) - len(set(found)) for found in order.values())
        return Report(
            accepted=plan.messages,
            lost=plan.messages - over[State.COMPLETED] - over[State.FAILED],
            committed_twice=twice,
            inversions=sum(_inversions(found, self.conversation(number)) for number, found in order.items()),
            dead_letters=over[State.FAILED],
            kills=self._kills,
            freezes=self._freezes,
            redis_restarts=1,
            n8n_calls=place.n8n.calls_by_message.total(),
            n8n_needed=needed,
            n8n_called_too_often=place.n8n.calls_by_message.total() - needed,
            seconds=seconds,
            verdict=await InvariantVerification(Context(place.settings, place.redis)).run(),
        )

    async def _committed(self) -> dict[str, list[str]]:
        """By conversation: the ids that the stream carries, in order."""
        found: dict[str, list[str]] = {}
        entries: Any = await self._place.redis.xrange(keys.RESPONSES)
        for _, fields in entries:
            if fields["kind"] == "response":
                body = msgspec.json.decode(fields["body"])
                found.setdefault(body["conversationId"], []).append(body["messageId"])
        return found


def _inversions(found: list[str], sent: list[str]) -> int:
    """How many messages come after one that was sent later."""
    places = {message_id: number for number, message_id in enumerate(sent)}
    numbers = [places[message_id] for message_id in found]
    return sum(one > following for one, following in pairwise(numbers))


def _fails_once(message_id: str) -> bool:
    return zlib.crc32(message_id.encode()) / 2**32 < FAIL_ONCE
