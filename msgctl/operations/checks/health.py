"""The health check: whether the pipeline works, and every reason why it does not."""

import asyncio
import time

import msgspec

from msgctl.canary.canary import canary_age_s
from msgctl.canary.location import locate_canary
from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.messages import WireStruct
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.findings import Finding, Reason
from msgctl.operations.context import Operation
from msgctl.queue.queue import Stats
from msgctl.storage.redis import keys
from msgctl.storage.redis.durability import DurabilityMonitor
from msgctl.storage.redis.faults import no_answer

SUBSCRIBER_HEARTBEAT_TIMEOUT_S = 10.0
"""Seconds without a heartbeat after which a subscriber counts as dead."""


class Health(WireStruct, kw_only=True, frozen=True):
    """The health of the pipeline. `stats` is null if Redis does not answer."""

    healthy: bool
    stats: Stats | None
    reasons: list[Reason] = msgspec.field(default_factory=list)


class HealthCheck(Operation):
    """Checks the health of the pipeline."""

    async def run(self, *, strict: bool = False) -> Health:
        """Check everything. A Redis that is down or hangs is a reason, not an error.

        The whole check takes `redis.timeout` at most, however many questions Redis does not answer.

        Args:
            strict: report what an operator should look at, too: pauses, open breakers, parked and quarantined
                messages.
        """
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                stats, findings = await self._examine()
                if strict:
                    findings += await self._strict_findings()
        except (RedisUnavailable, TimeoutError) as error:
            fault = error if isinstance(error, RedisUnavailable) else no_answer(error, self._redis.address)
            reason = Reason(code="redis_unavailable", message=fault.message)
            return Health(healthy=False, stats=None, reasons=[reason])
        return Health(healthy=not findings, stats=stats, reasons=[finding.to_reason() for finding in findings])

    async def count_subscribers(self) -> int:
        """Return the number of live subscribers.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        heartbeats = await self._redis.hvals(keys.SUBSCRIBERS)
        since_ms = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
        return sum(float(heartbeat) > since_ms for heartbeat in heartbeats)

    async def _examine(self) -> tuple[Stats, list[Finding]]:
        stats, oldest_s, workers, subscribers, late_canary, refusal = await asyncio.gather(
            self._queue.stats(),
            self._queue.oldest_wait(),
            self._queue.live_workers(),
            self.count_subscribers(),
            self._check_canary(),
            self._check_acceptance(),
        )
        return stats, [
            *_find_missing_daemons(len(workers), subscribers),
            *self._find_exceeded_limits(stats, oldest_s),
            *late_canary,
            *refusal,
        ]

    async def _check_canary(self) -> list[Finding]:
        limits = self._settings.canary
        age = canary_age_s(await self._redis.hgetall(keys.CANARY))
        if not limits.interval or age is None or age <= limits.late:
            return []
        location = await locate_canary(self._redis)
        text = f"No synthetic message has arrived for {age:.0f} s, longer than {limits.late:.0f} s."
        return [Finding(code="canary_late", text=f"{text} {location.sentence}.")]

    async def _check_acceptance(self) -> list[Finding]:
        """Check whether new messages are refused because Redis is nearly full or would lose them."""
        refusal = await DurabilityMonitor(self._redis, self._settings).rejection_reason()
        return [Finding(code="nothing_accepted", text=refusal)] if refusal else []

    def _find_exceeded_limits(self, stats: Stats, oldest_s: float | None) -> list[Finding]:
        limits = self._settings.health
        findings = []
        waiting = stats.waiting + stats.paused
        if waiting > limits.max_waiting:
            text = f"{pluralize(waiting, 'message waits', 'messages wait')}, more than {limits.max_waiting}."
            findings.append(Finding(code="too_many_waiting", text=text))
        if stats.total and stats.failed / stats.total > limits.max_failed_ratio:
            share = f"{stats.failed} of {pluralize(stats.total, 'message')}"
            text = f"{share} failed, more than {limits.max_failed_ratio:.1%}."
            findings.append(Finding(code="too_many_failed", text=text))
        if oldest_s is not None and oldest_s > limits.max_age:
            text = f"A message has waited for {oldest_s:.0f} s, longer than {limits.max_age:.0f} s."
            findings.append(Finding(code="waiting_too_long", text=text))
        return findings

    async def _strict_findings(self) -> list[Finding]:
        findings = []
        if paused := await self._queue.list_paused():
            text = f"Workers take no message from {', '.join(paused)}."
            findings.append(Finding(code="paused", text=text, remedy="Resume: msgctl queue resume"))
        breakers: dict[str, str] = await self._redis.hgetall(keys.BREAKERS)
        for workflow, fields in sorted(breakers.items()):
            if int(fields.partition(" ")[0]) / 1000 > time.time():
                text = f"The workflow {workflow} keeps failing and is not called."
                findings.append(Finding(code="breaker_open", text=text, remedy="See: msgctl dlq groups"))
        if parked := await self._redis.hlen(keys.PARKED):
            text = f"{pluralize(parked, 'message')} cannot be processed: the stored data is damaged."
            findings.append(Finding(code="parked", text=text, remedy="See: msgctl verify"))
        if quarantined := await self._redis.llen(keys.RQ_QUEUE + keys.QUARANTINE):
            text = f"{pluralize(quarantined, 'message')} may have crashed workers. Each runs alone."
            findings.append(Finding(code="quarantined", text=text))
        return findings


def _find_missing_daemons(workers: int, subscribers: int) -> list[Finding]:
    findings = []
    if not workers:
        text = "No worker is alive, so no message is processed."
        findings.append(Finding(code="no_worker", text=text, remedy="Start one: msgctl start worker"))
    if not subscribers:
        text = "No subscriber is alive, so no reply is delivered."
        findings.append(Finding(code="no_subscriber", text=text, remedy="Start one: msgctl start subscriber"))
    return findings
