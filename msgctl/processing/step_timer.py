"""The steps one message takes, timed."""

import time
from datetime import UTC, datetime
from functools import cache

from prometheus_client import Histogram

from msgctl.observability.metrics.definitions import STEP_DURATION


class StepTimer:
    """A stopwatch for one attempt; each step ends when the next begins."""

    def __init__(self) -> None:
        self._attempt_started = self._step_started = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._step, self._last_step = "", "claim"
        self._finished_steps: list[tuple[str, float]] = []

    def begin(self, name: str) -> None:
        """A step begins, and the one before it is over."""
        self.end()
        self._step = self._last_step = name

    def end(self) -> None:
        """The step is over, if one has begun."""
        now = time.monotonic()
        if self._step:
            self._finished_steps.append((self._step, now - self._step_started))
            _step_histogram(self._step).observe(now - self._step_started)
        self._step, self._step_started = "", now

    @property
    def started_at(self) -> str:
        """When the attempt began, RFC 3339."""
        return self._started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def current_step(self) -> str:
        """The name of the step that it is in, or was last in; `claim` before the first."""
        return self._last_step

    @property
    def elapsed_ms(self) -> int:
        """Since the attempt began."""
        return round((time.monotonic() - self._attempt_started) * 1000)

    @property
    def summary(self) -> str:
        """`step:ms,…`, the last one the step that it is in."""
        taken = (
            [*self._finished_steps, (self._step, time.monotonic() - self._step_started)]
            if self._step
            else self._finished_steps
        )
        return ",".join(f"{name}:{seconds * 1000:.0f}" for name, seconds in taken)


@cache
def _step_histogram(step: str) -> Histogram:
    """The histogram of a step: to find it among all labels costs more than to count in it."""
    return STEP_DURATION.labels(step)
