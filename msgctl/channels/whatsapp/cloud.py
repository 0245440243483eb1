"""WhatsApp through Meta's Cloud API."""

import re
from typing import ClassVar

import msgspec

from msgctl.channels.error_codes import failure
from msgctl.channels.text.composer import WHATSAPP, Dialect
from msgctl.channels.whatsapp.addresses import Recipient, Text
from msgctl.channels.whatsapp.errors import CLOUD_CODES
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown
from msgctl.http.client import Answer, HttpClient

WAMID_REGEX = re.compile(r'"id"\s*:\s*"(wamid\.[^"\\]+)"')
"""Where Meta puts the id of the sent message."""


class WhatsAppCloud:
    """Sends texts from business phone numbers with one access token.

    Args:
        settings: `whatsapp.*`.
        client: makes the HTTP requests.
    """

    dialect: ClassVar[Dialect] = WHATSAPP

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._settings = settings.whatsapp
        self._client = client
        self.senders: tuple[str, ...] = (self._settings.phone_number_id, *settings.inbound.agents("whatsapp"))
        self.rate = self._settings.rate
        self.unknown: str = self._settings.unknown

    async def find_sent(self, text: Text, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """Raise: the Cloud API cannot be asked; its status webhook reports instead.

        Raises:
            DeliveryUnknown: always.
        """
        raise DeliveryUnknown("No status webhook has reported that it arrived.")

    async def send(self, text: Text) -> str:
        """Send one part and return Meta's `wamid`.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        token = self._settings.token.get_secret_value()
        if not text.sender or not token:
            raise BadAddress(
                "WhatsApp is not set up: set [whatsapp] phone_number_id and token.", code="not_configured"
            )
        message = {
            "messaging_product": "whatsapp",
            **_receiver(text.to),
            "type": "text",
            "text": {"body": text.body},
            "biz_opaque_callback_data": text.message_id,
        }
        answer = await self._client.post(
            f"{self._settings.base_url.rstrip('/')}/{self._settings.version}/{text.sender}/messages",
            who="whatsapp",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=msgspec.json.encode(message),
        )
        return _sent_id(answer)


def _receiver(to: Recipient) -> dict[str, str]:
    """Return the fields that name the receiver. A user id in `to` would be accepted and never delivered."""
    if to.group:
        return {"recipient_type": "group", "to": to.group}
    return {"recipient_type": "individual"} | ({"to": to.phone} if to.phone else {"recipient": to.user_id})


def _sent_id(answer: Answer) -> str:
    if not answer.ok:
        raise _failure(answer)
    try:
        return str(answer.document()["messages"][0]["id"])
    except (KeyError, IndexError, TypeError):
        if cut := WAMID_REGEX.search(answer.text()):
            return cut[1]  # the answer broke off behind the id
        raise DeliveryUnknown(
            f"whatsapp answered HTTP {answer.status} without the id of a message.",
            code="whatsapp_no_id",
            is_probably_sent=answer.claims_json,
        ) from None


def _failure(answer: Answer) -> DeliveryFailed:
    error = answer.document().get("error")
    number = error.get("code") if isinstance(error, dict) else None
    return failure("whatsapp", answer, number if isinstance(number, int) else None, CLOUD_CODES, rate="number")
