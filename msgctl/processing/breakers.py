"""Circuit breakers: a workflow that keeps failing is not called for a while, by any worker.

closed ── many failures ──▶ open ── its time is over ──▶ half-open ── the probe succeeds ──▶ closed
                             ▲                               │
                             └────── the probe fails ────────┘  each time for twice as long, up to a cap

A worker decides from its own copy of the breakers, which `CircuitBreakers.refresh` reads from Redis each second.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    AttemptFailed,
    BreakerOpen,
    RedisUnavailable,
    WorkflowRejected,
    WorkflowTimeout,
    WorkflowUnreachable,
)
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

REPORT_CALLS = Script.beside(__file__, "record_calls")
LIST_OPEN_BREAKERS = Script.beside(__file__, "read_breakers")
BREAKER_WINDOW_MS = 30_000
BREAKER_PROBE_TIMEOUT_S = 30.0
"""Seconds after which a probe that nobody has heard of since is another's to make: its worker may be dead."""

log = logs.get_logger(__name__)


class CircuitBreakers:
    """Guards the calls of workflows.

    A success costs nothing at once: successes are counted and reported with the next `refresh`. Only a failure,
    and the probe of a half-open breaker, ask Redis.

    Args:
        redis: a client of `redisdb.connect`.
        settings: `breaker.*`, and `n8n.timeout` for how long a probe is waited for.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._open: dict[str, float] = {}
        """Workflows that are not closed, by the monotonic second their opening ends."""
        self._successes: Counter[str] = Counter()

    @asynccontextmanager
    async def guard(self, workflow: str) -> AsyncIterator[None]:
        """Call a workflow inside of this context, if its breaker lets you; the outcome is noted.

        Args:
            workflow: its webhook path.

        Raises:
            BreakerOpen: it is to be left alone for now.
        """
        if workflow in self._open:
            await self._probe(workflow)
        try:
            yield
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
        """Hand in the successes and learn which breakers are open; to be called each second.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await asyncio.gather(*map(self._report, list(self._successes)))  # one round trip for all of them
        found = await LIST_OPEN_BREAKERS(self._redis)
        now = time.monotonic()
        self._open = {found[i]: now + found[i + 1] / 1000 for i in range(0, len(found), 2)}

    async def _probe(self, workflow: str) -> None:
        """Let one caller through a half-open breaker."""
        remaining = self._open[workflow] - time.monotonic()
        if remaining <= 0:
            key = f"{keys.BREAKER}{workflow}{keys.BREAKER_PROBE}"
            longest = round(min(self._settings.n8n.timeout, BREAKER_PROBE_TIMEOUT_S) * 1000)
            if await self._redis.set(key, "1", nx=True, px=longest):
                return
        raise BreakerOpen(
            "This workflow keeps failing and is left alone for a while.", retry_after=max(remaining, 1.0)
        )

    async def _try_report(self, workflow: str, *, failures: int = 0) -> None:
        """Report, unless Redis is away: what n8n answered counts for more than how it is counted."""
        try:
            await self._report(workflow, failures=failures)
        except RedisUnavailable as outage:
            log.warning("Redis client error: a breaker was not told", workflow=workflow, error=outage.message)

    async def _report(self, workflow: str, *, failures: int = 0) -> None:
        successes = self._successes.pop(workflow, 0)
        breaker = self._settings.breaker
        try:
            remaining = await self._batch.run_script(
                REPORT_CALLS,
                *(workflow, successes, failures, breaker.streak, breaker.ratio, breaker.calls, BREAKER_WINDOW_MS),
                *(round(breaker.pause * 1000), round(breaker.cap * 1000)),
            )
        except RedisUnavailable:
            self._successes[workflow] += successes
            raise
        if remaining and workflow not in self._open:
            log.error("Breaker opened", workflow=workflow, seconds=round(remaining / 1000))
        if remaining:
            self._open[workflow] = time.monotonic() + remaining / 1000
        elif self._open.pop(workflow, None):
            log.info("Breaker closed", workflow=workflow)


def _counts_as_workflow_failure(failure: AttemptFailed) -> bool:
    """Whether a failure says that the workflow, not the message, is in trouble."""
    if isinstance(failure, WorkflowRejected):
        return failure.status >= 500
    return isinstance(failure, WorkflowUnreachable | WorkflowTimeout)
