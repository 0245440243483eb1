"""What is done with a send that may have arrived: no provider takes a key that makes a second one harmless."""

import time
from dataclasses import dataclass

from msgctl.channels.base import ChannelSender
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import SendPermit, UnknownOutcome
from msgctl.domain.errors import DeliveryFailed, DeliveryUnknown
from msgctl.domain.messages import Response
from msgctl.domain.retry import GiveUp, RetryLater

RECONCILE_TIMEOUT_S = 600.0
"""Seconds for which a provider that does not answer is asked again whether a part arrived."""


@dataclass(frozen=True)
class Arrived:
    """The provider knows the part."""

    provider_id: str
    parts: int


@dataclass(frozen=True)
class CheckLater:
    """Check again at `due`, in Unix milliseconds."""

    due: int


@dataclass(frozen=True)
class Resend:
    """Send it once more."""


class UnknownOutcomePolicy:
    """One sender's policy.

    Args:
        settings: `delivery.hold`, `retry.base`.
        sender: says what to do, and asks its provider.
    """

    def __init__(self, settings: Settings, sender: ChannelSender) -> None:
        self._hold_s = settings.delivery.hold
        self._resend_delay_s = settings.retry.base
        self._sender = sender

    def decide(self, response: Response, turn: SendPermit) -> RetryLater | GiveUp:
        """Decide when an unknown outcome is resolved, or that it stays UNKNOWN: a part is resent at most once."""
        policy = self._sender.unknown_policy(response)
        if policy == "keep" or turn.resends:
            return GiveUp()
        return RetryLater(self._resend_delay_s if policy == "resend" else self._hold_s, counts_as_attempt=True)

    async def resolve(
        self, response: Response, outcome: UnknownOutcome
    ) -> Arrived | CheckLater | Resend | DeliveryFailed:
        """What to do now; a failure means that it stays UNKNOWN."""
        decision = self.decide(response, outcome.permit)
        if isinstance(decision, GiveUp):
            return DeliveryUnknown(outcome.text, code=outcome.code)
        due = int(outcome.sent_at_ms + decision.delay * 1000)
        if due > time.time() * 1000 + 100:
            return CheckLater(due)  # it was taken over from a subscriber that is gone
        if self._sender.unknown_policy(response) != "reconcile":
            return Resend()
        return await self._reconcile(response, outcome)

    async def _reconcile(
        self, response: Response, doubt: UnknownOutcome
    ) -> Arrived | CheckLater | Resend | DeliveryFailed:
        parts = self._sender.parts(response)
        since = doubt.sent_at_ms / 1000
        try:
            found = await self._sender.find_sent(response, parts[doubt.permit.part], since)
        except DeliveryUnknown:
            return DeliveryUnknown(doubt.text, code=doubt.code)
        except DeliveryFailed:
            if time.time() - since < RECONCILE_TIMEOUT_S:
                return CheckLater(int((time.time() + self._hold_s) * 1000))
            return DeliveryUnknown(doubt.text, code=doubt.code)
        return Resend() if found is None else Arrived(found, len(parts))
