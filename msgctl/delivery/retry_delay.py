"""When a failed delivery is tried again."""

import random

from msgctl.channels.base import ChannelSender
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import SendPermit
from msgctl.domain.errors import DeliveryFailed, FaultClass
from msgctl.domain.retry import GiveUp, RetryLater, RetryPolicy, decide, wait_for_rate


class RetryDelay:
    """How long one sender's deliveries wait.

    Args:
        settings: `delivery.attempts`, `retry.base`, `retry.cap`.
        sender: its `schedule` counts, if it has one.
    """

    def __init__(self, settings: Settings, sender: ChannelSender) -> None:
        self._policy = RetryPolicy(
            settings.delivery.attempts, settings.retry.base, settings.retry.cap, schedule=sender.schedule
        )

    def decide(self, turn: SendPermit, failure: DeliveryFailed) -> RetryLater | GiveUp:
        """Decide when the delivery is tried again, if at all."""
        if failure.exceeded_limit and failure.fault is not FaultClass.FINAL:
            return wait_for_rate(failure.initial_pause_s, snoozes=turn.rate_waits, retry_after=failure.retry_after)
        return decide(self._policy, failure, attempts=turn.attempts, snoozes=0, chance=random.random())
