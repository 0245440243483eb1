"""The account of records that were not taken: each one is counted, and its reason is logged once a minute."""

import time
from collections.abc import Callable

from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics

LOG_INTERVAL_S = 60.0
"""Seconds in which one reason of one channel is logged once."""

log = logs.get_logger(__name__)


class RefusalAccount:
    """Counts and logs the records of providers that no agent answers.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[tuple[str, str], float] = {}
        self._unlogged: dict[tuple[str, str], int] = {}

    def refuse(self, channel: str, reason: str, why: str, *, kind: str = "refused") -> None:
        """Account for a record that is dropped.

        Args:
            channel: the channel that it came through.
            reason: the code of the reason.
            why: what is wrong and what to do, without any text or address of a customer.
            kind: the kind that `msgctl_inbound_total` counts it as.
        """
        metrics.INBOUND_MESSAGES.labels(channel, kind).inc()
        metrics.INBOUND_REFUSALS.labels(channel, reason).inc()
        self._warn("A record of a webhook was refused", channel, reason, why)

    def leave(self, channel: str, reason: str, why: str) -> None:
        """Account for a record that its provider will send again, because it could not be taken now."""
        metrics.INBOUND_MESSAGES.labels(channel, "left").inc()
        self._warn("A record of a webhook was left to its provider to repeat", channel, reason, why)

    def note(self, channel: str, kind: str, **fields: object) -> None:
        """Account for a record that is understood and asks nothing of an agent."""
        metrics.INBOUND_MESSAGES.labels(channel, kind).inc()
        if (further := self._admit(channel, kind)) is not None:
            log.info("A record of a webhook is not a text", channel=channel, kind=kind, further=further, **fields)

    def _warn(self, event: str, channel: str, reason: str, why: str) -> None:
        if (further := self._admit(channel, reason)) is not None:
            log.warning(event, channel=channel, reason=reason, why=why, further=further)

    def _admit(self, channel: str, name: str) -> int | None:
        """Return how many records went unlogged since the last line, or None if this one is not to be logged."""
        key, now = (channel, name), self._clock()
        if now - self._logged_at.get(key, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            self._unlogged[key] = self._unlogged.get(key, 0) + 1
            return None
        self._logged_at[key] = now
        return self._unlogged.pop(key, 0)
