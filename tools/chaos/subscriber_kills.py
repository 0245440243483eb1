"""Replies to phones and callbacks while subscribers are killed: none missed, none doubled that is not marked."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryRecord, DeliveryState, find_record
from msgctl.domain.messages import Channel
from msgctl.local.fakes.providers import FakeProviders
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from tools.chaos.environment import Place
from tools.chaos.replies import Replies
from tools.chaos.worker_pool import Crew

SUBSCRIBER = ("-m", "daemons.subscriber")
BATCH = 200


@dataclass(frozen=True)
class Plan:
    """How bad it gets. Times are in seconds."""

    replies: int
    conversations: int
    subscribers: int
    kills: int
    between: float
    takeover: float = 3.0


FULL = Plan(10_000, 500, 2, kills=20, between=1.5)
SHORT = Plan(600, 60, 2, kills=4, between=0.8, takeover=2.0)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    replies: int
    kills: int
    missed: int
    doubled: int
    """Replies that the provider got more than once although nothing marks them."""
    marked: int
    """UNKNOWN, or sent once more on purpose."""
    inversions: int
    seconds: float
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not (self.missed or self.doubled or self.inversions) and self.verdict.holds


class DeliveryStorm:
    """One run, against providers that record what they are sent.

    Args:
        place: servers of its own.
        plan: how bad.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self._redis = place.redis
        self._place = place
        self._plan = plan
        self._deaths = 0

    async def rage(self) -> Report:
        """Commit all replies while subscribers die, wait until each is over, and look at what arrived."""
        begun = time.monotonic()
        async with FakeProviders() as recorder:
            settings = _settings(self._place.settings, recorder.url, self._plan)
            async with Crew(settings, self._plan.subscribers, program=SUBSCRIBER) as crew:
                deeds = asyncio.create_task(self._kill(crew))
                await self._commit()
                await deeds
                records = await self._all_over()
            sent = [str(request.fields.get("text")) for request in recorder.requests if request.status == 200]
        return await self._report(records, sent, settings, time.monotonic() - begun)

    async def _kill(self, crew: Crew) -> None:
        for _ in range(self._plan.kills):
            await asyncio.sleep(random.uniform(0.5, 1.5) * self._plan.between)
            self._deaths += crew.kill_one()

    async def _commit(self) -> None:
        """As the worker's COMMIT does, without a job around it, spread over the time of the kills."""
        plan = self._plan
        replies = Replies(self._redis, plan.conversations, Channel.TELEGRAM)
        for first in range(0, plan.replies, BATCH):
            await replies.commit(range(first, min(first + BATCH, plan.replies)))
            await asyncio.sleep(plan.kills * plan.between * BATCH / plan.replies)

    async def _all_over(self) -> list[DeliveryRecord]:
        while True:
            found = [await find_record(self._redis, f"r{number}") for number in range(self._plan.replies)]
            over = [record for record in found if record is not None and record.ended_at]
            if len(over) == self._plan.replies:
                return over
            await asyncio.sleep(0.5)

    async def _report(
        self, records: list[DeliveryRecord], sent: list[str], settings: Settings, seconds: float
    ) -> Report:
        arrived = Counter(sent)
        marked = {
            f"r{number}"
            for number, record in enumerate(records)
            if record.resends or record.state is DeliveryState.UNKNOWN
        }
        ids = [f"r{number}" for number in range(self._plan.replies)]
        return Report(
            replies=self._plan.replies,
            kills=self._deaths,
            missed=sum(not arrived[one] and one not in marked for one in ids),
            doubled=sum(count > 1 and one not in marked for one, count in arrived.items()),
            marked=len(marked),
            inversions=_inversions(sent, self._plan.conversations),
            seconds=seconds,
            verdict=await InvariantVerification(Context(settings, self._redis)).run(),
        )


def _inversions(sent: list[str], conversations: int) -> int:
    """How often a reply came before one that stands before it in its conversation."""
    last: dict[int, int] = {}
    found = 0
    for text in dict.fromkeys(sent):
        number = int(text.removeprefix("r"))
        found += last.get(number % conversations, -1) > number
        last[number % conversations] = number
    return found


def _settings(settings: Settings, url: str, plan: Plan) -> Settings:
    changes: dict[str, dict[str, Any]] = {
        "telegram": {
            "base_url": url,
            "token": type(settings.telegram.token)("1:x"),
            "rate": 5000.0,
            "chat_rate": 1000.0,
        },
        "delivery": {"takeover": plan.takeover, "timeout": 2.0, "hold": 1.0},
    }
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=sections)
