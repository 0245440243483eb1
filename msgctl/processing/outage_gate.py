"""The gate before n8n: while n8n is down, no worker calls it, and its return lets the held messages go on.

A call that finds all of n8n down is reported to Redis. After many in a row the gate shuts for all workflows and
workers. One worker probes n8n while messages wait for it (`OutageWatch`). When the probe succeeds, it releases the
messages in steps. A breaker (`breakers.py`) guards one workflow that fails; the gate guards n8n itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    AttemptFailed,
    RedisUnavailable,
    WorkflowMisconfigured,
    WorkflowRejected,
    WorkflowUnreachable,
)
from msgctl.domain.n8n_outage import N8nDown, OutageScope
from msgctl.observability import logs
from msgctl.processing.answer_faults import AnswerFault
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

REPORT_OUTAGE = Script.beside(__file__, "report_outage")
END_OUTAGE = Script.beside(__file__, "end_outage")
TAKE_PERMIT = Script.beside(__file__, "take_permit")
RELEASE_HELD = Script.beside(__file__, "release_held")
IDLE_INTERVAL_S = 1.0
"""Seconds between two checks whether a message waits for n8n."""
PROBE_INTERVAL_S = 0.5
"""Seconds between two probes while messages wait."""
RELEASE_INTERVAL_S = 0.25
"""Seconds between two releases."""
PROBER_LOCK_S = 5.0
"""Seconds after which another worker may probe, because the first one may be dead."""
NOT_ASKED_TEXT = "n8n is down and is not asked for a while: the message waits for its return."

log = logs.get_logger(__name__)


class OutageGate:
    """The gate as one worker sees it.

    Args:
        redis: a client made by `connect`.
        settings: `breaker.streak` failures in a row shut the gate.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)
        self._max_count = settings.breaker.streak
        self._is_down = self._is_shut = self._was_refused = False

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Enter a context in which n8n is called. Its outcome is counted.

        Raises:
            WorkflowUnreachable: the gate is shut, so n8n must not be called now.
        """
        began_during_outage = self._is_down
        if self._is_shut and not await TAKE_PERMIT(self._redis):
            raise (
                WorkflowUnreachable(NOT_ASKED_TEXT)
                if self._was_refused
                else N8nDown(NOT_ASKED_TEXT, scope=OutageScope.N8N)
            )
        try:
            yield
        except WorkflowUnreachable as failure:
            if not isinstance(failure, N8nDown) or failure.scope is OutageScope.N8N:
                await self._try(self._report(refused=not isinstance(failure, N8nDown)))
            raise
        except AttemptFailed as failure:
            if began_during_outage and _proves_that_n8n_serves(failure):
                await self._try(self._end())
            raise
        if began_during_outage:
            await self._try(self._end())

    async def refresh(self) -> None:
        """Read the state of the gate. The worker calls this each second.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        count, shut, refused = await self._redis.hmget(keys.N8N_OUTAGE, ["count", "shut", "refused"])
        self._is_down, self._is_shut, self._was_refused = bool(count), bool(shut), refused == "1"

    async def _report(self, *, refused: bool) -> None:
        shut = await self._batch.run_script(REPORT_OUTAGE, self._max_count, int(refused))
        if shut and not self._is_shut:
            log.error("n8n is down: it is not called until a probe reaches it")
        self._is_down, self._is_shut, self._was_refused = True, bool(shut), refused

    async def _end(self) -> None:
        await END_OUTAGE(self._redis)
        if self._is_shut:
            log.info("n8n is up again")
        self._is_down = self._is_shut = False

    async def _try(self, report: Awaitable[None]) -> None:
        """Report a call. An outage of Redis is logged only, because the outcome of the call matters more."""
        try:
            await report
        except RedisUnavailable as outage:
            log.warning("Redis client error: outage of n8n not recorded", error=outage.message)


class OutageWatch:
    """Probes n8n while messages wait for it, and releases them when it is back. One worker does so for all.

    Args:
        redis: a client made by `connect`.
        worker: the name of this worker.
        probe: returns whether n8n serves webhooks, without running a workflow.
    """

    def __init__(self, redis: RedisClient, worker: str, probe: Callable[[], Awaitable[bool]]) -> None:
        self._redis = redis
        self._worker = worker
        self._probe = probe

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            pause_s = IDLE_INTERVAL_S
            try:
                pause_s = await self.run_once()
            except RedisUnavailable as outage:
                log.debug("Redis client error: cannot watch n8n", error=outage.message)
            await asyncio.sleep(pause_s)

    async def run_once(self) -> float:
        """Probe n8n if messages wait and no other worker does; return the seconds until the next round."""
        if not await self._has_held() or not await self._acquire():
            return IDLE_INTERVAL_S
        is_up = await self._probe()
        released, held = await RELEASE_HELD(self._redis, int(is_up))
        if released:
            log.info("Messages that waited for n8n go on", messages=released, waiting=held)
            return RELEASE_INTERVAL_S
        return PROBE_INTERVAL_S

    async def _has_held(self) -> bool:
        return bool(await self._redis.exists(keys.N8N_HELD, keys.N8N_DOUBTFUL))

    async def _acquire(self) -> bool:
        ttl_ms = round(PROBER_LOCK_S * 1000)
        if await self._redis.set(keys.N8N_PROBER, self._worker, px=ttl_ms, nx=True):
            return True
        return await self._redis.get(keys.N8N_PROBER) == self._worker and bool(
            await self._redis.pexpire(keys.N8N_PROBER, ttl_ms)
        )


def _proves_that_n8n_serves(failure: AttemptFailed) -> bool:
    """Whether a failed call shows all the same that n8n runs workflows."""
    return isinstance(failure, WorkflowRejected | WorkflowMisconfigured | AnswerFault)
