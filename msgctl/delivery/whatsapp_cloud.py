"""WhatsApp by Meta's Cloud API."""

from typing import ClassVar

import msgspec

from msgctl.config import Settings
from msgctl.delivery.parts import split
from msgctl.delivery.phone import phone_number
from msgctl.delivery.posting import Answer, Poster
from msgctl.errors import BadAddress, DeliveryFailed, DeliveryUnknown, FaultClass
from msgctl.messages import Response

LIMIT = 4096
"""Characters of a text."""
PASSING = frozenset({2, 4, 80007, 130429, 131016, 131056, 131057})
"""Rates, services that are down, upgrades."""
DOUBTFUL = frozenset({1, 131000})
"""Meta does not know itself whether it was sent."""
ADVICE = {
    0: "The access token is not valid: set [whatsapp] token.",
    190: "The access token has expired: set [whatsapp] token.",
    100: "A parameter is not accepted: look at [whatsapp] phone_number_id and version.",
    33: "[whatsapp] phone_number_id is not known to this token.",
    368: "The account is blocked for a breach of policy.",
    131026: "It cannot be delivered: the number has no WhatsApp, or an old one.",
    131031: "The account is locked.",
    131042: "There is a problem with the payment of the account.",
    131047: "Outside the 24 h window: only a template can be sent now.",
    131048: "The number is held back for spam.",
    131049: "Meta chose not to deliver it, to keep its ecosystem healthy.",
}


class WhatsAppCloud:
    """Sends texts from one business phone number.

    Args:
        settings: `whatsapp.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._settings = settings.whatsapp
        self._poster = poster

    def parts(self, response: Response) -> list[str]:
        """The text in parts of 4096 characters."""
        return split(response.response.message, LIMIT)

    async def send(self, response: Response, text: str, *, first: bool) -> str:  # noqa: ARG002 - all parts are alike
        """Send one part; the id is Meta's `wamid`.

        Raises:
            DeliveryFailed: as `Handler.send` says.
        """
        settings = self._settings
        if not settings.phone_number_id or not settings.token.get_secret_value():
            raise BadAddress(
                "WhatsApp is not set up: set [whatsapp] phone_number_id and token.", code="not_configured"
            )
        message = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": phone_number(response),
            "type": "text",
            "text": {"body": text},
            "biz_opaque_callback_data": response.message_id,
        }
        answer = await self._poster.post(
            f"{settings.base_url.rstrip('/')}/{settings.version}/{settings.phone_number_id}/messages",
            who="whatsapp",
            headers={
                "Authorization": f"Bearer {settings.token.get_secret_value()}",
                "Content-Type": "application/json",
            },
            body=msgspec.json.encode(message),
        )
        return _sent_id(answer)


def _sent_id(answer: Answer) -> str:
    if not answer.ok:
        raise _failure(answer)
    try:
        return str(answer.document()["messages"][0]["id"])
    except (KeyError, IndexError, TypeError):
        raise DeliveryUnknown(
            f"whatsapp answered HTTP {answer.status} without the id of a message.", code="whatsapp_no_id"
        ) from None


def _failure(answer: Answer) -> DeliveryFailed:
    error = answer.document().get("error")
    number = error.get("code") if isinstance(error, dict) else None
    if not isinstance(number, int):
        return answer.rejection("whatsapp")
    if number in DOUBTFUL:
        return DeliveryUnknown(
            f"whatsapp failed with error {number}: it may have arrived.", code=f"whatsapp_{number}"
        )
    passing = number in PASSING or (number not in ADVICE and answer.status >= 500)
    fault = FaultClass.TRANSIENT if passing else FaultClass.FINAL
    return answer.rejection("whatsapp", number=number, fault=fault, advice=ADVICE.get(number, ""))
