"""WhatsApp by Twilio's Programmable Messaging."""

import base64
import email.utils
import time
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from msgctl.channels.error_codes import failure
from msgctl.channels.whatsapp.addresses import STATUS_PATH, Text
from msgctl.channels.whatsapp.twilio_errors import CODES
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryUnknown
from msgctl.http.client import Answer, HttpClient

SKEW = 60.0
"""Seconds by which Twilio's clock and ours may differ."""


class WhatsAppTwilio:
    """Sends texts from WhatsApp senders of one Twilio account.

    Args:
        settings: `twilio.*`.
        client: makes the calls.
    """

    limit: ClassVar[int] = 1600

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._settings = settings.twilio
        self._client = client
        self.senders: tuple[str, ...] = (self._settings.sender, *settings.inbound.agents("twilio"))
        self.rate = self._settings.rate
        self.unknown: str = self._settings.unknown

    async def find_sent(self, text: Text, since: float) -> str | None:
        """Look for a part among what the account has sent to this customer since.

        Raises:
            DeliveryFailed: Twilio does not tell.
        """
        query = urlencode({"To": f"whatsapp:{text.to}", "DateSent>": _date(since), "PageSize": 50})
        answer = await self._client.get(
            f"{self._url()}?{query}", who="twilio", headers={"Authorization": f"Basic {self._login()}"}
        )
        messages = answer.document().get("messages")
        if not answer.ok or not isinstance(messages, list):
            raise answer.rejection("twilio")
        least = datetime.fromtimestamp(since - SKEW, UTC)
        for message in messages:
            if _is_this(message, text) and _created(message) >= least:
                return str(message["sid"])
        return None

    async def send(self, text: Text) -> str:
        """Send one part; the id is Twilio's message SID.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        settings = self._settings
        if not settings.account_sid or not settings.auth_token.get_secret_value() or not text.sender:
            raise BadAddress(
                "Twilio is not set up: set [twilio] account_sid, auth_token and sender.", code="not_configured"
            )
        form = {"From": f"whatsapp:{text.sender}", "To": f"whatsapp:{text.to}", "Body": text.body}
        if settings.public_url:
            form["StatusCallback"] = f"{settings.public_url}{STATUS_PATH}?messageId={quote(text.message_id)}"
        answer = await self._client.post(
            self._url(),
            who="twilio",
            headers={
                "Authorization": f"Basic {self._login()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        return _sent_id(answer)

    def _url(self) -> str:
        return (
            f"{self._settings.base_url.rstrip('/')}/2010-04-01/Accounts/{self._settings.account_sid}/Messages.json"
        )

    def _login(self) -> str:
        pair = f"{self._settings.account_sid}:{self._settings.auth_token.get_secret_value()}"
        return base64.b64encode(pair.encode()).decode()


def _date(moment: float) -> str:
    """The day, in UTC, of a minute before: a send across midnight is found too."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment - SKEW))


def _is_this(message: Any, text: Text) -> bool:
    sender = f"whatsapp:{text.sender}"
    return isinstance(message, dict) and message.get("body") == text.body and message.get("from") == sender


def _created(message: dict[str, Any]) -> datetime:
    try:
        return email.utils.parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # of an unknown time: rather it than a second send


def _sent_id(answer: Answer) -> str:
    document = answer.document()
    if answer.ok:
        if not isinstance(document.get("sid"), str):
            raise DeliveryUnknown(f"twilio answered HTTP {answer.status} without a SID.", code="twilio_no_id")
        return str(document["sid"])
    number = document.get("code")
    if not isinstance(number, int):
        raise answer.rejection("twilio")
    raise failure("twilio", answer, number, CODES)
