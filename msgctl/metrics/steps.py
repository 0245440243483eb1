"""The steps one message takes, timed."""

import time
from datetime import UTC, datetime
from functools import cache

from prometheus_client import Histogram

from msgctl.metrics.definitions import STEP_DURATION


class Steps:
    """A stopwatch for one attempt; each step ends when the next begins."""

    def __init__(self) -> None:
        self._begun = self._since = time.monotonic()
        self._wall = datetime.now(UTC)
        self._name, self._latest = "", "claim"
        self._taken: list[tuple[str, float]] = []

    def begin(self, name: str) -> None:
        """A step begins, and the one before it is over."""
        self.end()
        self._name = self._latest = name

    def end(self) -> None:
        """The step is over, if one has begun."""
        now = time.monotonic()
        if self._name:
            self._taken.append((self._name, now - self._since))
            _durations(self._name).observe(now - self._since)
        self._name, self._since = "", now

    @property
    def began(self) -> str:
        """When the attempt began, RFC 3339."""
        return self._wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def current(self) -> str:
        """The name of the step that it is in, or was last in; `claim` before the first."""
        return self._latest

    @property
    def milliseconds(self) -> int:
        """Since the attempt began."""
        return round((time.monotonic() - self._begun) * 1000)

    @property
    def summary(self) -> str:
        """`step:ms,…`, the last one the step that it is in."""
        taken = [*self._taken, (self._name, time.monotonic() - self._since)] if self._name else self._taken
        return ",".join(f"{name}:{seconds * 1000:.0f}" for name, seconds in taken)


@cache
def _durations(step: str) -> Histogram:
    """The histogram of a step: to find it among all labels costs more than to count in it."""
    return STEP_DURATION.labels(step)
