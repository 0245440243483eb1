"""Circuit breakers: a workflow that keeps failing is not called for a while, by any worker.

closed ── many failures ──▶ open ── its time is over ──▶ half-open ── the probe succeeds ──▶ closed
                             ▲                               │
                             └────── the probe fails ────────┘  stays open twice as long each time, up to a cap

A worker decides from its own copy of the breakers, which `CircuitBreakers.refresh` reads from Redis each second.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    AttemptFailed,
    BreakerOpen,
    WorkflowRejected,
    WorkflowTimeout,
    WorkflowUnreachable,
)
from msgctl.observability import logs
from msgctl.processing.outage_gate import OutageGate
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

REPORT_CALLS = Script.beside(__file__, "record_calls")
LIST_OPEN_BREAKERS = Script.beside(__file__, "read_breakers")
BREAKER_WINDOW_MS = 30_000
"""Milliseconds over which the share of failed calls is computed."""
BREAKER_PROBE_TIMEOUT_S = 30.0
"""Seconds after which another worker may probe, because the first one may be dead."""

log = logs.get_logger(__name__)


class CircuitBreakers:
    """The breakers of all workflows, as one worker sees them.

    A success needs no round trip: successes are counted and reported by the next `refresh`. Only a failure and the
    probe of a half-open breaker call Redis.

    Args:
        redis: a client made by `connect`.
        settings: `breaker.*`, and `n8n.timeout`, which bounds how long a probe excludes others.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._open: dict[str, float] = {}
        """Webhook path to the monotonic second at which its breaker is half-open. Closed breakers are absent."""
        self._successes: Counter[str] = Counter()
        self._gate = OutageGate(redis, settings)

    @asynccontextmanager
    async def guard(self, workflow: str) -> AsyncIterator[None]:
        """Enter a context in which a workflow is called. Its outcome is counted.

        Args:
            workflow: its webhook path.

        Raises:
            BreakerOpen: the workflow must not be called now.
            WorkflowUnreachable: n8n itself is down and must not be called now.
        """
        if workflow in self._open:
            await self._probe(workflow)
        try:
            async with self._gate.guard():
                yield
        except WorkflowUnreachable:  # says nothing about this workflow
            if workflow in self._open:
                await self._try_withdraw_probe(workflow)
            raise
        except AttemptFailed as failure:
            if _counts_as_workflow_failure(failure):
                await self._try_report(workflow, failures=1)
            else:
                self._successes[workflow] += 1
            raise
        self._successes[workflow] += 1
        if workflow in self._open:
            await self._try_report(workflow)

    async def refresh(self) -> None:
        """Report the successes and read which breakers are open. The worker calls this each second.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await self._gate.refresh()
        await asyncio.gather(*map(self._report, list(self._successes)))  # one round trip for all of them
        row = await LIST_OPEN_BREAKERS(self._redis)
        now = time.monotonic()
        self._open = {row[i]: now + row[i + 1] / 1000 for i in range(0, len(row), 2)}

    async def _probe(self, workflow: str) -> None:
        """Raise BreakerOpen unless the breaker is half-open and this caller is the one that probes it."""
        remaining_s = self._open[workflow] - time.monotonic()
        if remaining_s <= 0:
            key = f"{keys.BREAKER}{workflow}{keys.BREAKER_PROBE}"
            ttl_ms = round(min(self._settings.n8n.timeout, BREAKER_PROBE_TIMEOUT_S) * 1000)
            if await self._redis.set(key, "1", nx=True, px=ttl_ms):
                return
        raise BreakerOpen(
            "This workflow keeps failing and is not called for a while.", retry_after=max(remaining_s, 1.0)
        )

    async def _try_withdraw_probe(self, workflow: str) -> None:
        with suppress(*REDIS_FAULTS):
            await self._redis.delete(f"{keys.BREAKER}{workflow}{keys.BREAKER_PROBE}")

    async def _try_report(self, workflow: str, *, failures: int = 0) -> None:
        """Report a call. An outage of Redis is logged only, because the outcome of the call matters more."""
        try:
            await self._report(workflow, failures=failures)
        except REDIS_FAULTS as outage:
            log.warning("Redis client error: breaker not updated", workflow=workflow, error=str(outage))

    async def _report(self, workflow: str, *, failures: int = 0) -> None:
        successes = self._successes.pop(workflow, 0)
        breaker = self._settings.breaker
        try:
            remaining_ms = await self._batch.run_script(
                REPORT_CALLS,
                *(workflow, successes, failures, breaker.streak, breaker.ratio, breaker.calls, BREAKER_WINDOW_MS),
                *(round(breaker.pause * 1000), round(breaker.cap * 1000)),
            )
        except REDIS_FAULTS:
            self._successes[workflow] += successes
            raise
        if remaining_ms and workflow not in self._open:
            log.error("Breaker opened", workflow=workflow, seconds=round(remaining_ms / 1000))
        if remaining_ms:
            self._open[workflow] = time.monotonic() + remaining_ms / 1000
        elif self._open.pop(workflow, None):
            log.info("Breaker closed", workflow=workflow)


def _counts_as_workflow_failure(failure: AttemptFailed) -> bool:
    """Whether a failure is the fault of the workflow rather than of the message."""
    if isinstance(failure, WorkflowRejected):
        return failure.status >= 500
    return isinstance(failure, WorkflowTimeout)
