"""WhatsApp by Twilio's Programmable Messaging."""

import base64
from typing import ClassVar
from urllib.parse import urlencode

from msgctl.config import Settings
from msgctl.delivery.parts import split
from msgctl.delivery.phone import phone_number
from msgctl.delivery.posting import Answer, Poster
from msgctl.errors import BadAddress, DeliveryUnknown, FaultClass
from msgctl.messages import Response

LIMIT = 1600
"""Characters of a body; more are refused with error 21617."""
PASSING = frozenset({20429, 63018})
"""Rates."""
ADVICE = {
    20003: "The account is not known: set [twilio] account_sid and auth_token.",
    21211: "The number is not valid.",
    21610: "The receiver has opted out.",
    21617: "The text is too long.",
    63016: "Outside the 24 h window: only a template can be sent now.",
    63038: "The daily limit of the account is reached.",
}


class WhatsAppTwilio:
    """Sends texts from one WhatsApp sender of a Twilio account.

    Args:
        settings: `twilio.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._settings = settings.twilio
        self._poster = poster

    def parts(self, response: Response) -> list[str]:
        """The text in parts of 1600 characters."""
        return split(response.response.message, LIMIT)

    async def send(self, response: Response, text: str, *, first: bool) -> str:  # noqa: ARG002 - all parts are alike
        """Send one part; the id is Twilio's message SID.

        Raises:
            DeliveryFailed: as `Handler.send` says.
        """
        settings = self._settings
        secret = settings.auth_token.get_secret_value()
        if not settings.account_sid or not secret or not settings.sender:
            raise BadAddress(
                "Twilio is not set up: set [twilio] account_sid, auth_token and sender.", code="not_configured"
            )
        login = base64.b64encode(f"{settings.account_sid}:{secret}".encode()).decode()
        form = {
            "From": f"whatsapp:{settings.sender}",
            "To": f"whatsapp:{phone_number(response)}",
            "Body": text,
        }
        answer = await self._poster.post(
            f"{settings.base_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}/Messages.json",
            who="twilio",
            headers={
                "Authorization": f"Basic {login}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        return _sent_id(answer)


def _sent_id(answer: Answer) -> str:
    document = answer.document()
    if answer.ok:
        if not isinstance(document.get("sid"), str):
            raise DeliveryUnknown(f"twilio answered HTTP {answer.status} without a SID.", code="twilio_no_id")
        return str(document["sid"])
    number = document.get("code")
    if not isinstance(number, int):
        raise answer.rejection("twilio")
    passing = number in PASSING or answer.status >= 500 or answer.status == 429
    fault = FaultClass.TRANSIENT if passing else FaultClass.FINAL
    raise answer.rejection("twilio", number=number, fault=fault, advice=ADVICE.get(number, ""))
