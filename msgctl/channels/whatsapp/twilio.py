"""WhatsApp through Twilio's Programmable Messaging."""

import base64
import email.utils
import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from msgctl.channels.error_codes import failure
from msgctl.channels.text.composer import WHATSAPP_TWILIO, Dialect
from msgctl.channels.whatsapp.addresses import STATUS_PATH, Recipient, Text
from msgctl.channels.whatsapp.errors import TWILIO_CODES
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown, ProviderUnreachable
from msgctl.http.client import Answer, HttpClient

TWILIO_CLOCK_SKEW_S = 60.0
"""Seconds by which the clocks of Twilio and msgctl may differ."""

SID_REGEX = re.compile(r'"sid"\s*:\s*"((?:SM|MM)[0-9A-Za-z]+)"')
"""Where Twilio puts the SID of the message."""


class WhatsAppTwilio:
    """Sends texts from the WhatsApp senders of one Twilio account.

    Args:
        settings: `twilio.*`.
        client: makes the HTTP requests.
    """

    dialect: ClassVar[Dialect] = WHATSAPP_TWILIO

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._settings = settings.twilio
        self._client = client
        self.senders: tuple[str, ...] = (self._settings.sender, *settings.inbound.agents("twilio"))
        self.rate = self._settings.rate
        self.unknown: str = self._settings.unknown

    async def find_sent(self, text: Text, since: float) -> str | None:
        """Return the SID of a part that the account has sent to this customer since `since`, or None.

        Raises:
            DeliveryFailed: Twilio gave no list.
        """
        # No filter by date: a message that is still queued has no `date_sent`, and would not be listed.
        query = urlencode(
            {"To": f"whatsapp:{_address(text.to)}", "From": f"whatsapp:{text.sender}", "PageSize": 50}
        )
        answer = await self._client.get(
            f"{self._url()}?{query}", who="twilio", headers={"Authorization": f"Basic {self._credentials()}"}
        )
        messages = answer.document().get("messages")
        if not answer.ok or not isinstance(messages, list):
            raise ProviderUnreachable(f"twilio answered HTTP {answer.status} instead of its list of messages.")
        earliest = datetime.fromtimestamp(since - TWILIO_CLOCK_SKEW_S, UTC)
        for message in messages:
            if _matches(message, text) and _created_at(message) >= earliest:
                return str(message["sid"])
        return None

    async def send(self, text: Text) -> str:
        """Send one part and return Twilio's message SID.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        settings = self._settings
        if not settings.account_sid or not settings.auth_token.get_secret_value() or not text.sender:
            raise BadAddress(
                "Twilio is not set up: set [twilio] account_sid, auth_token and sender.", code="not_configured"
            )
        form = {"From": f"whatsapp:{text.sender}", "To": f"whatsapp:{_address(text.to)}", "Body": text.body}
        if settings.public_url:
            form["StatusCallback"] = f"{settings.public_url}{STATUS_PATH}?messageId={quote(text.message_id)}"
        answer = await self._client.post(
            self._url(),
            who="twilio",
            headers={
                "Authorization": f"Basic {self._credentials()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        return _sent_id(answer)

    def _url(self) -> str:
        return (
            f"{self._settings.base_url.rstrip('/')}/2010-04-01/Accounts/{self._settings.account_sid}/Messages.json"
        )

    def _credentials(self) -> str:
        pair = f"{self._settings.account_sid}:{self._settings.auth_token.get_secret_value()}"
        return base64.b64encode(pair.encode()).decode()


def _address(to: Recipient) -> str:
    if to.group:
        raise BadAddress("Twilio does not send to WhatsApp groups.")
    return to.address


def _matches(message: Any, text: Text) -> bool:
    sender = f"whatsapp:{text.sender}"
    return isinstance(message, dict) and message.get("body") == text.body and message.get("from") == sender


def _created_at(message: dict[str, Any]) -> datetime:
    try:
        return email.utils.parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # the time is unknown: to take this one avoids a second send


def _sent_id(answer: Answer) -> str:
    if not answer.ok:
        raise _failure(answer)
    document = answer.document()
    if isinstance(sid := document.get("sid"), str):
        return sid
    if cut := SID_REGEX.search(answer.text()):
        return cut[1]  # the answer broke off behind the SID
    raise DeliveryUnknown(f"twilio answered HTTP {answer.status} without a SID.", code="twilio_no_id")


def _failure(answer: Answer) -> DeliveryFailed:
    """Return the error of an answer; after any server error, Twilio's list tells whether the message was taken."""
    number = answer.document().get("code")
    error = failure("twilio", answer, number if isinstance(number, int) else None, TWILIO_CODES, rate="number")
    if not error.is_doubtful:
        return error
    return DeliveryUnknown(error.message, code=error.code, retry_after=error.retry_after)
