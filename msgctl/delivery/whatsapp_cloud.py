"""WhatsApp by Meta's Cloud API."""

from typing import ClassVar

import msgspec

from msgctl.config import Settings
from msgctl.delivery.codes import failure
from msgctl.delivery.gates import Bucket, Gates, digest, rate
from msgctl.delivery.parts import split
from msgctl.delivery.phone import phone_number
from msgctl.delivery.posting import Answer, Poster
from msgctl.delivery.whatsapp_cloud_codes import CODES
from msgctl.errors import BadAddress, DeliveryFailed, DeliveryUnknown
from msgctl.messages import Response

LIMIT = 4096
"""Characters of a text."""
PAIR_INTERVAL, PAIR_BURST = 6000, 45
"""Milliseconds a message to the same customer costs, and how many may come at once."""


class WhatsAppCloud:
    """Sends texts from one business phone number.

    Args:
        settings: `whatsapp.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._settings = settings.whatsapp
        self._poster = poster

    def gates(self, response: Response) -> Gates:
        """The rate of the number, that of the number to this customer, and the 24 h window."""
        customer, number = phone_number(response), self._settings.phone_number_id
        return Gates(
            (
                rate("number", f"whatsapp:number:{number}", self._settings.rate),
                Bucket("pair", f"whatsapp:pair:{digest(f'{number} {customer}')}", PAIR_INTERVAL, PAIR_BURST),
            ),
            window=digest(customer),
        )

    def unknown(self, response: Response) -> str:  # noqa: ARG002 - there is one number
        """What the settings say."""
        return self._settings.unknown

    async def find(self, response: Response, text: str, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """Nothing can be asked of the Cloud API; its status webhook tells of its own accord (`receipts`).

        Raises:
            DeliveryUnknown: always.
        """
        raise DeliveryUnknown("No status webhook has told that it arrived.")

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
    return failure("whatsapp", answer, number, CODES)
