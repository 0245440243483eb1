"""Redis goes away, for a second or a minute, stopped or frozen: when it is back, all work goes on at once."""

import asyncio
import os
import signal
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal

from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from tools.chaos.environment import Place
from tools.chaos.worker_pool import Crew
from tools.support.daemons import Daemon, until

RESUMED = 5.0
"""Seconds after the return of Redis within which everything must be at work again."""
LEASE = 5.0
"""Seconds; shorter than most outages, so that every lease runs out in them."""
EACH = 20
"""Messages of each kind."""
FAIL_ONCE = 0.5
THINKING = 1.0
"""Seconds n8n thinks."""
WORKED, DELIVERED = {"claimed", "committed"}, {"kept"}

Manner = Literal["stopped", "frozen"]
Plan = Sequence[tuple[Manner, float]]
"""How Redis goes away, and for how many seconds."""

FULL: Plan = (
    *(("stopped", seconds) for seconds in (1.0, 6.0, 20.0, 60.0)),
    *(("frozen", seconds) for seconds in (1.0, 6.0, 20.0)),
)
SHORT: Plan = (("stopped", 1.0), ("stopped", 6.0), ("frozen", 6.0))


@dataclass(frozen=True)
class Outage:
    """What came of one."""

    manner: Manner
    seconds: float
    concerned: int
    """Messages that were not over when Redis came back."""
    resumed: float
    """Seconds from the start of Redis until the last message was claimed or committed."""
    delivered: float
    """Seconds until the last of the answers that came in the meantime was handed over."""
    crashes: int
    charged: int
    """Attempts charged beyond those that n8n itself failed."""
    extra_calls: int
    """Calls of n8n beyond those needed."""

    @property
    def holds(self) -> bool:
        """Whether nothing came late, and nobody paid for the outage."""
        late = max(self.resumed, self.delivered) > RESUMED
        paid = self.crashes or self.charged or self.extra_calls
        return self.concerned > EACH and not late and not paid

    def __str__(self) -> str:
        return (
            f"{self.manner} {self.seconds:g} s, {self.concerned} messages: at work after {self.resumed:.2f} s, "
            f"delivered after {self.delivered:.2f} s; crashes {self.crashes}, charged {self.charged}, "
            f"extra calls {self.extra_calls}"
        )


@dataclass(frozen=True)
class Report:
    """What came of all."""

    outages: list[Outage]
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether each promise was kept."""
        return all(outage.holds for outage in self.outages) and self.verdict.holds


async def outages(place: Place, plan: Plan) -> Report:
    """Take Redis away again and again while two workers and a subscriber work."""
    place.with_worker(lease=LEASE, concurrency=50)
    retry = place.settings.retry.model_copy(update={"base": 1.0})
    breaker = place.settings.breaker.model_copy(update={"streak": 10_000, "calls": 100_000})
    place.settings = place.settings.model_copy(update={"retry": retry, "breaker": breaker})
    found = []
    async with Crew(place.settings, 2), Daemon("subscriber", place.settings):
        for number, (manner, seconds) in enumerate(plan):
            found.append(await _Trial(place, f"o{number}", manner, seconds).live())
    return Report(found, await InvariantVerification(Context(place.settings, place.redis)).run())


class _Trial:
    """One outage, while some messages wait for their retry, some for n8n, and some for their conversation."""

    def __init__(self, place: Place, stem: str, manner: Manner, seconds: float) -> None:
        self._place = place
        self._manner = manner
        self._seconds = seconds
        self._due = _named(f"{stem}-due", fails=True)
        self._asked = _named(f"{stem}-asked", fails=False)
        self._behind = _named(f"{stem}-behind", fails=False)
        self._new = _named(f"{stem}-new", fails=False)

    async def live(self) -> Outage:
        """Send, take Redis away, give it back, and look when everything went on."""
        place = self._place
        before = (await place.stats()).completed
        place.n8n.reset(N8nBehavior(delay=THINKING * 1000, fail_once=FAIL_ONCE))
        await self._send(self._due)
        await self._called(self._due)
        await asyncio.sleep(THINKING / 2)
        await self._send(self._asked)
        await self._send(self._behind)
        await until(self._are_delayed, "the retries to be waiting")
        back = await self._take_redis_away()
        place.n8n.behavior.delay = 0
        await self._send(self._new)
        await place.all_over(before + 4 * EACH)
        await place.all_delivered()
        return await self._judge(back)

    async def _send(self, ids: Sequence[str]) -> None:
        await asyncio.gather(*(self._place.send(each, f"c-{each}".replace("behind", "asked")) for each in ids))

    async def _called(self, ids: Sequence[str]) -> None:
        await until(lambda: all(self._place.n8n.calls_by_message[each] for each in ids), "n8n to be called")

    async def _are_delayed(self) -> bool:
        return (await self._place.stats()).delayed >= EACH

    async def _take_redis_away(self) -> float:
        """Returns the Unix milliseconds at which it began to come back."""
        valkey = self._place.valkey
        assert valkey.pid  # noqa: S101 - for the type checker
        if self._manner == "frozen":
            os.kill(valkey.pid, signal.SIGSTOP)
            await asyncio.sleep(self._seconds)
            back = time.time()
            os.kill(valkey.pid, signal.SIGCONT)
        else:
            await valkey.stop()
            await asyncio.sleep(self._seconds)
            back = time.time()
            await valkey.start()
        return back * 1000

    async def _judge(self, back: float) -> Outage:
        place, everything = self._place, [*self._due, *self._asked, *self._behind, *self._new]
        events = await self._events_after(back)
        jobs = [job for job in await place.queue.find_many(everything) if job is not None]
        ends = {job.message.message_id: job.finished_on or 0 for job in jobs}
        ends = {each: end for each, end in ends.items() if end > back}
        # What ran just when Redis froze is told of under the time of then, so that its end counts too.
        worked = [min(_first(events[each], WORKED), end) for each, end in ends.items()]
        told = [_first(events[each], DELIVERED) for each in self._asked if each in ends]
        calls = sum(place.n8n.calls_by_message[each] for each in everything)
        return Outage(
            manner=self._manner,
            seconds=self._seconds,
            concerned=len(ends),
            resumed=(max(worked, default=back) - back) / 1000,
            delivered=(max(told, default=back) - back) / 1000,
            crashes=sum(job.crashes for job in jobs),
            charged=sum(job.attempts for job in jobs) - len(everything) - len(self._due),
            extra_calls=calls - len(everything) - len(self._due),
        )

    async def _events_after(self, back: float) -> dict[str, list[Event]]:
        """By message: what the ledger tells since Redis is back, oldest first."""
        found: defaultdict[str, list[Event]] = defaultdict(list)
        ledger = Ledger(self._place.redis)
        async for events in ledger.iter_after(f"{back:.0f}-0"):
            for event in events:
                found[event.message_id].append(event)
        return found


def _first(events: Sequence[Event], kinds: Collection[str]) -> float:
    """Unix milliseconds of the first event of these kinds; without end if there is none."""
    return next((event.at.timestamp() * 1000 for event in events if event.what in kinds), float("inf"))


def _named(stem: str, *, fails: bool) -> list[str]:
    """Ids whose first call the n8n stand-in fails, or does not."""
    names = (f"{stem}-{number}" for number in count())
    fitting = (name for name in names if (zlib.crc32(name.encode()) / 2**32 < FAIL_ONCE) is fails)
    return list(islice(fitting, EACH))
