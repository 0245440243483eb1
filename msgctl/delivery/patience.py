"""When a failed delivery is tried again."""

import random

from msgctl.config import Settings
from msgctl.delivery.handler import Handler
from msgctl.delivery.record import Turn
from msgctl.errors import DeliveryFailed, FaultClass
from msgctl.retry import Again, Policy, decide

LEAST_WAIT, LONGEST_WAIT = 1.0, 3600.0
"""Seconds a closed rate is waited for before the next look."""
MOST_STEPS = 6
"""How often the wait for a rate grows."""


class Patience:
    """How long one handler's deliveries wait.

    Args:
        settings: `delivery.attempts`, `retry.base`, `retry.cap`.
        handler: its `schedule` counts, if it has one.
    """

    def __init__(self, settings: Settings, handler: Handler) -> None:
        self._policy = Policy(settings.delivery.attempts, settings.retry.base, settings.retry.cap)
        self._schedule = handler.schedule

    def pause(self, turn: Turn, failure: DeliveryFailed) -> float | None:
        """Seconds before the next try; None if there is none."""
        if failure.fault is FaultClass.FINAL:
            return None
        if failure.closes:
            asked = failure.retry_after
            wait = failure.pause * 4 ** min(MOST_STEPS, turn.waits) if asked is None else max(asked, LEAST_WAIT)
            return min(LONGEST_WAIT, wait)
        if self._schedule is None:
            decision = decide(
                self._policy,
                failure.fault,
                attempts=turn.attempts,
                holds=0,
                chance=random.random(),
                retry_after=failure.retry_after,
            )
            return decision.delay if isinstance(decision, Again) else None
        if turn.attempts >= len(self._schedule):
            return None
        return max(self._schedule[turn.attempts] * random.uniform(1, 1.1), failure.retry_after or 0)
