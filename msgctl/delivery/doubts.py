"""What is done with a send that may have arrived: no provider takes a key that makes a second one harmless."""

import time
from dataclasses import dataclass

from msgctl.config import Settings
from msgctl.delivery.handler import Handler
from msgctl.delivery.record import Doubt, Turn
from msgctl.errors import DeliveryFailed, DeliveryUnknown
from msgctl.messages import Response

ASKED_FOR = 600.0
"""Seconds for which a provider that does not answer is asked again whether a part arrived."""


@dataclass(frozen=True)
class Arrived:
    """The provider knows the part."""

    provider_id: str
    parts: int


@dataclass(frozen=True)
class Again:
    """Look again at `due`, in Unix milliseconds."""

    due: int


@dataclass(frozen=True)
class Resend:
    """Send it once more."""


class Doubts:
    """One handler's policy.

    Args:
        settings: `delivery.hold`, `retry.base`.
        handler: says what to do, and asks its provider.
    """

    def __init__(self, settings: Settings, handler: Handler) -> None:
        self._hold = settings.delivery.hold
        self._soon = settings.retry.base
        self._handler = handler

    def pause(self, response: Response, turn: Turn) -> float | None:
        """Seconds a new doubt waits before it is resolved; None where it stays UNKNOWN: one resend is the most."""
        policy = self._handler.unknown(response)
        if policy == "keep" or turn.resends:
            return None
        return self._soon if policy == "resend" else self._hold

    async def resolve(self, response: Response, doubt: Doubt) -> Arrived | Again | Resend | DeliveryFailed:
        """What to do now; a failure means that it stays UNKNOWN."""
        pause = self.pause(response, doubt.turn)
        if pause is None:
            return DeliveryUnknown(doubt.text, code=doubt.code)
        due = int(doubt.sent_at + pause * 1000)
        if due > time.time() * 1000 + 100:
            return Again(due)  # it was taken over from a subscriber that is gone
        if self._handler.unknown(response) != "reconcile":
            return Resend()
        return await self._reconcile(response, doubt)

    async def _reconcile(self, response: Response, doubt: Doubt) -> Arrived | Again | Resend | DeliveryFailed:
        parts = self._handler.parts(response)
        since = doubt.sent_at / 1000
        try:
            found = await self._handler.find(response, parts[doubt.turn.part], since)
        except DeliveryUnknown:
            return DeliveryUnknown(doubt.text, code=doubt.code)
        except DeliveryFailed:
            if time.time() - since < ASKED_FOR:
                return Again(int((time.time() + self._hold) * 1000))
            return DeliveryUnknown(doubt.text, code=doubt.code)
        return Resend() if found is None else Arrived(found, len(parts))
