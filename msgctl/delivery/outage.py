"""Living through an outage of Redis: a log line where it begins and where it ends, and pauses between looks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError

from msgctl import logs
from msgctl.errors import RedisUnavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds."""

log = logs.get(__name__)
Result = TypeVar("Result")


class Outage:
    """What one task knows of an outage.

    Args:
        what: what the task does, for the log.
        event: the log event with which an outage begins.
        faults: the errors that are waited out; all others are raised.
    """

    def __init__(
        self,
        what: str,
        *,
        event: str = "Redis client error: this task waits",
        faults: tuple[type[Exception], ...] = (RedisUnavailable, RedisError),
    ) -> None:
        self._what = what
        self._event = event
        self._faults = faults
        self._pause = 0.0

    async def attempt(self, step: Callable[[], Awaitable[Result]]) -> Result | None:
        """Do one step; if Redis fails it, log the beginning of the outage, pause, and return None."""
        try:
            result = await step()
        except self._faults as error:
            await self._wait(error)
            return None
        if self._pause:
            log.info("Redis answers again", task=self._what)
            self._pause = 0.0
        return result

    async def insist(self, step: Callable[[], Awaitable[Result]]) -> Result:
        """Do one step until Redis has answered it."""
        while True:
            result = await self.attempt(step)
            if not self._pause:
                return result  # type: ignore[return-value]  # no pause: the step was done

    async def _wait(self, error: Exception) -> None:
        if not self._pause:
            log.warning(self._event, task=self._what, error=str(error))
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        await asyncio.sleep(self._pause)
