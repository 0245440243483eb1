"""What is done with a send that may have arrived: no provider takes a key that makes a second one harmless."""

import time
from dataclasses import dataclass

from msgctl.channels.base import ChannelSender
from msgctl.config.settings import Settings
from msgctl.delivery.record import Doubt, Turn
from msgctl.errors import DeliveryFailed, DeliveryUnknown
from msgctl.messages import Response
from msgctl.retry import GiveUp, RetryLater

ASKED_FOR = 600.0
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


class Doubts:
    """One sender's policy.

    Args:
        settings: `delivery.hold`, `retry.base`.
        sender: says what to do, and asks its provider.
    """

    def __init__(self, settings: Settings, sender: ChannelSender) -> None:
        self._hold = settings.delivery.hold
        self._soon = settings.retry.base
        self._sender = sender

    def decide(self, response: Response, turn: Turn) -> RetryLater | GiveUp:
        """Decide when an unknown outcome is resolved, or that it stays UNKNOWN: a part is resent at most once."""
        policy = self._sender.unknown_policy(response)
        if policy == "keep" or turn.resends:
            return GiveUp()
        return RetryLater(self._soon if policy == "resend" else self._hold, counts_as_attempt=True)

    async def resolve(self, response: Response, doubt: Doubt) -> Arrived | CheckLater | Resend | DeliveryFailed:
        """What to do now; a failure means that it stays UNKNOWN."""
        decision = self.decide(response, doubt.turn)
        if isinstance(decision, GiveUp):
            return DeliveryUnknown(doubt.text, code=doubt.code)
        due = int(doubt.sent_at + decision.delay * 1000)
        if due > time.time() * 1000 + 100:
            return CheckLater(due)  # it was taken over from a subscriber that is gone
        if self._sender.unknown_policy(response) != "reconcile":
            return Resend()
        return await self._reconcile(response, doubt)

    async def _reconcile(self, response: Response, doubt: Doubt) -> Arrived | CheckLater | Resend | DeliveryFailed:
        parts = self._sender.parts(response)
        since = doubt.sent_at / 1000
        try:
            found = await self._sender.find_sent(response, parts[doubt.turn.part], since)
        except DeliveryUnknown:
            return DeliveryUnknown(doubt.text, code=doubt.code)
        except DeliveryFailed:
            if time.time() - since < ASKED_FOR:
                return CheckLater(int((time.time() + self._hold) * 1000))
            return DeliveryUnknown(doubt.text, code=doubt.code)
        return Resend() if found is None else Arrived(found, len(parts))
