"""Retries during an outage of Redis, with pauses, and a log line at its beginning and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgctl.observability import logs
from msgctl.storage.redis.faults import REDIS_FAULTS, strip_command

MIN_REDIS_RETRY_PAUSE_S, MAX_REDIS_RETRY_PAUSE_S = 0.1, 2.0
"""Seconds."""

log = logs.get_logger(__name__)
Result = TypeVar("Result")


class OutageLog:
    """Logs the beginning of an outage, each change of its state, and its end, but not each failed round.

    Args:
        task: the name of the task, for the log.
        event: the log event at the beginning of an outage.
    """

    def __init__(self, task: str, event: str = "Redis client error: this task waits") -> None:
        self._task = task
        self._event = event
        self._state = ""

    @property
    def is_down(self) -> bool:
        """Whether an outage was recorded and not its end."""
        return bool(self._state)

    def failed(self, error: Exception) -> None:
        """Record a failed round; log it unless the round before it failed with the same state."""
        state = getattr(error, "state", "") or type(error).__name__
        if state != self._state:
            log.warning(self._event, task=self._task, error=strip_command(str(error)))
        self._state = state

    def succeeded(self) -> None:
        """Record a round that did not fail."""
        if self._state:
            log.info("Redis answers again", task=self._task)
        self._state = ""


class RedisRetry:
    """The retries of one task.

    Args:
        task: the name of the task, for the log.
        event: the log event at the beginning of an outage.
        faults: the errors after which a step is retried. All others are raised.
    """

    def __init__(
        self,
        task: str,
        *,
        event: str = "Redis client error: this task waits",
        faults: tuple[type[Exception], ...] = REDIS_FAULTS,
    ) -> None:
        self._outage = OutageLog(task, event)
        self._faults = faults
        self._pause_s = 0.0

    async def attempt(self, step: Callable[[], Awaitable[Result]]) -> Result | None:
        """Do one step. If Redis fails, log the beginning of the outage, pause, and return None."""
        try:
            result = await step()
        except self._faults as error:
            await self._back_off(error)
            return None
        self._outage.succeeded()
        self._pause_s = 0.0
        return result

    async def run_until_success(self, step: Callable[[], Awaitable[Result]]) -> Result:
        """Repeat one step until Redis answers."""
        while True:
            result = await self.attempt(step)
            if not self._pause_s:
                return result  # type: ignore[return-value]  # no pause: the step was done

    async def _back_off(self, error: Exception) -> None:
        self._outage.failed(error)
        self._pause_s = min(MAX_REDIS_RETRY_PAUSE_S, self._pause_s * 2 or MIN_REDIS_RETRY_PAUSE_S)
        await asyncio.sleep(self._pause_s)
