"""The decision on a send that may have arrived: no provider takes a key that would make a second send harmless."""

import time
from dataclasses import dataclass

from msgctl.channels.base import ChannelSender
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import SendPermit, UnknownOutcome
from msgctl.delivery.parts import DeliveryParts
from msgctl.domain.errors import DeliveryFailed, DeliveryUnknown
from msgctl.domain.messages import Response
from msgctl.domain.retry import GiveUp, RetryLater

RECONCILE_TIMEOUT_S = 600.0
"""Seconds after the send for which a provider that does not answer is asked again whether a part arrived."""
CLOCK_TOLERANCE_MS = 100
"""A check that is due in less than this is made now."""


@dataclass(frozen=True)
class Arrived:
    """The provider has the part."""

    provider_id: str
    parts: int


@dataclass(frozen=True)
class CheckLater:
    """Check again at `due_ms`, in Unix milliseconds."""

    due_ms: int


@dataclass(frozen=True)
class Resend:
    """Send the part once more."""


class UnknownOutcomePolicy:
    """The policy of one sender.

    Args:
        settings: `delivery.hold`, `retry.base`.
        sender: names the policy of a response, and asks its provider.
    """

    def __init__(self, settings: Settings, sender: ChannelSender) -> None:
        self._hold_s = settings.delivery.hold
        self._resend_delay_s = settings.retry.base
        self._sender = sender

    def decide(
        self, response: Response, permit: SendPermit, failure: DeliveryUnknown | None = None
    ) -> RetryLater | GiveUp:
        """Decide when an unknown outcome is resolved, or that it stays UNKNOWN: a part is resent at most once.

        Args:
            response: the response of the part.
            permit: the attempt whose outcome is unknown.
            failure: why it is unknown; None if its subscriber died.
        """
        policy = self._sender.unknown_policy(response)
        may_ask = policy == "reconcile"  # to ask the provider sends nothing
        may_resend = not permit.resends and not (failure and failure.is_probably_sent)
        if policy == "keep" or not (may_ask or may_resend):
            return GiveUp()
        delay_s = self._resend_delay_s if policy == "resend" else self._hold_s
        asked_for_s = (failure.retry_after if failure else None) or 0.0
        return RetryLater(max(delay_s, asked_for_s), counts_as_attempt=True)

    async def resolve(
        self, response: Response, parts: DeliveryParts, outcome: UnknownOutcome
    ) -> Arrived | CheckLater | Resend | DeliveryFailed:
        """Decide what to do now; a failure means that the delivery stays UNKNOWN."""
        decision = self.decide(response, outcome.permit)
        if isinstance(decision, GiveUp):
            return DeliveryUnknown(outcome.text, code=outcome.code)
        due_ms = int(outcome.sent_at_ms + decision.delay * 1000)
        if due_ms > time.time() * 1000 + CLOCK_TOLERANCE_MS:
            return CheckLater(due_ms)  # it was taken over from a dead subscriber
        if self._sender.unknown_policy(response) != "reconcile":
            return Resend()
        return await self._reconcile(response, parts, outcome)

    async def _reconcile(
        self, response: Response, delivery_parts: DeliveryParts, outcome: UnknownOutcome
    ) -> Arrived | CheckLater | Resend | DeliveryFailed:
        sent_at_s = outcome.sent_at_ms / 1000
        try:
            parts = await delivery_parts.load(outcome.permit)
            provider_id = await self._sender.find_sent(response, parts[outcome.permit.part], sent_at_s)
        except DeliveryUnknown:
            return DeliveryUnknown(outcome.text, code=outcome.code)
        except DeliveryFailed:
            if time.time() - sent_at_s < RECONCILE_TIMEOUT_S:
                return CheckLater(int((time.time() + self._hold_s) * 1000))
            return DeliveryUnknown(outcome.text, code=outcome.code)
        if provider_id is not None:
            return Arrived(provider_id, len(parts))
        return DeliveryUnknown(outcome.text, code=outcome.code) if outcome.permit.resends else Resend()
