"""Is the pipeline healthy, and if not, for which reasons: all of them, each with a code and a sentence."""

import asyncio
import time

import msgspec

from msgctl.canary.canary import canary_age_s
from msgctl.canary.location import locate_canary
from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.messages import WireStruct
from msgctl.domain.plural import pluralize
from msgctl.operations.context import Context
from msgctl.queue.queue import Stats
from msgctl.storage.redis.client import no_answer
from msgctl.storage.redis.durability import DurabilityMonitor
from msgctl.storage.redis.keys import CANARY, SUBSCRIBERS

SUBSCRIBER_HEARTBEAT_TIMEOUT_S = 10.0
"""Seconds without a sign of life after which a subscriber counts as dead."""


class Reason(WireStruct, kw_only=True, frozen=True):
    """One thing that is wrong."""

    code: str
    message: str


class Health(WireStruct, kw_only=True, frozen=True):
    """The verdict. `stats` is null when Redis cannot be asked."""

    healthy: bool
    stats: Stats | None
    reasons: list[Reason] = msgspec.field(default_factory=list)


class HealthCheck:
    """Looks for what is wrong.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis
        self._queue = context.queue

    async def run(self) -> Health:
        """Look at everything; a Redis that is down is a finding, not an error.

        So is one that hangs: whoever probes waits for `redis.timeout` once, not for each question and repetition.
        """
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                stats, oldest, workers, subscribers, others = await self._collect()
        except (RedisUnavailable, TimeoutError) as error:
            fault = error if isinstance(error, RedisUnavailable) else no_answer(error, self._redis.address)
            reason = Reason(code="redis_unavailable", message=fault.message)
            return Health(healthy=False, stats=None, reasons=[reason])
        reasons = [*self._missing_daemons(workers, subscribers), *self._exceeded_limits(stats, oldest), *others]
        return Health(healthy=not reasons, stats=stats, reasons=reasons)

    async def _collect(self) -> tuple[Stats, float | None, list[str], list[str], list[Reason]]:
        stats, oldest, workers, subscribers, silence, refusal = await asyncio.gather(
            self._queue.stats(),
            self._queue.oldest_wait(),
            self._queue.live_workers(),
            self._live_subscribers(),
            self._canary_reasons(),
            self._acceptance_reasons(),
        )
        return stats, oldest, workers, subscribers, [*silence, *refusal]

    async def count_subscribers(self) -> int:
        """How many subscribers are alive.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return len(await self._live_subscribers())

    async def _live_subscribers(self) -> list[str]:
        beats = await self._redis.hgetall(SUBSCRIBERS)
        since = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
        return [name for name, beat in beats.items() if float(beat) > since]

    async def _canary_reasons(self) -> list[Reason]:
        """Whether the canary is late, and where it is."""
        limits = self._settings.canary
        age = canary_age_s(await self._redis.hgetall(CANARY))
        if not limits.interval or age is None or age <= limits.late:
            return []
        where = await locate_canary(self._redis)
        text = f"No synthetic message has arrived for {age:.0f} s, longer than {limits.late:.0f} s."
        return [Reason(code="canary_late", message=f"{text} {where.sentence}.")]

    async def _acceptance_reasons(self) -> list[Reason]:
        """Whether new messages are turned away, since Redis is nearly full or would forget them."""
        refusal = await DurabilityMonitor(self._redis, self._settings).rejection_reason()
        return [Reason(code="nothing_accepted", message=refusal)] if refusal else []

    def _missing_daemons(self, workers: list[str], subscribers: list[str]) -> list[Reason]:
        reasons = []
        if not workers:
            text = "No worker is alive, so nothing is worked. Start one: msgctl start worker"
            reasons.append(Reason(code="no_worker", message=text))
        if not subscribers:
            text = "No subscriber is alive, so nothing is delivered. Start one: msgctl start subscriber"
            reasons.append(Reason(code="no_subscriber", message=text))
        return reasons

    def _exceeded_limits(self, stats: Stats, oldest: float | None) -> list[Reason]:
        limits = self._settings.health
        reasons = []
        waiting = stats.waiting + stats.paused
        if waiting > limits.max_waiting:
            text = f"{pluralize(waiting, 'message waits', 'messages wait')}, more than {limits.max_waiting}."
            reasons.append(Reason(code="too_many_waiting", message=text))
        if stats.total and stats.failed / stats.total > limits.max_failed_ratio:
            share = f"{stats.failed} of {pluralize(stats.total, 'message')}"
            text = f"{share} failed, more than {limits.max_failed_ratio:.1%}."
            reasons.append(Reason(code="too_many_failed", message=text))
        if oldest is not None and oldest > limits.max_age:
            text = f"A message has waited for {oldest:.0f} s, longer than {limits.max_age:.0f} s."
            reasons.append(Reason(code="waiting_too_long", message=text))
        return reasons
