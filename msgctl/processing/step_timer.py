"""How long each step of an attempt takes."""

import time
from datetime import UTC, datetime
from functools import cache

from prometheus_client import Histogram

from msgctl.observability.metrics.definitions import STEP_DURATION


class StepTimer:
    """The timer of one attempt. A step ends when the next one begins."""

    def __init__(self) -> None:
        self._attempt_started = self._step_started = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._step, self._last_step = "", "claim"
        self._finished_steps: list[tuple[str, float]] = []

    def begin(self, name: str) -> None:
        """End the current step, if any, and begin the next."""
        self.end()
        self._step = self._last_step = name

    def end(self) -> None:
        """End the current step, if any, and count its duration."""
        now = time.monotonic()
        if self._step:
            self._finished_steps.append((self._step, now - self._step_started))
            _step_histogram(self._step).observe(now - self._step_started)
        self._step, self._step_started = "", now

    @property
    def started_at(self) -> str:
        """The time at which the attempt began, RFC 3339."""
        return self._started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def current_step(self) -> str:
        """Return the name of the current or last step, or `claim` before the first."""
        return self._last_step

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the attempt began."""
        return round((time.monotonic() - self._attempt_started) * 1000)

    @property
    def summary(self) -> str:
        """The duration of each step so far, `step:ms,…`, including the current one."""
        steps = list(self._finished_steps)
        if self._step:
            steps.append((self._step, time.monotonic() - self._step_started))
        return ",".join(f"{name}:{seconds * 1000:.0f}" for name, seconds in steps)


@cache
def _step_histogram(step: str) -> Histogram:
    """Return the histogram of a step. It is cached, because the label lookup costs more than the observation."""
    return STEP_DURATION.labels(step)
