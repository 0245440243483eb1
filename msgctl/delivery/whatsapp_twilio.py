"""WhatsApp by Twilio's Programmable Messaging."""

import base64
import email.utils
import time
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from msgctl.config import Settings
from msgctl.delivery.codes import failure
from msgctl.delivery.gates import Bucket, Gates, digest, rate
from msgctl.delivery.parts import split
from msgctl.delivery.phone import phone_number
from msgctl.delivery.posting import Answer, Poster
from msgctl.delivery.whatsapp_twilio_codes import CODES
from msgctl.errors import BadAddress, DeliveryUnknown
from msgctl.messages import Response

LIMIT = 1600
"""Characters of a body; more are refused with error 21617."""
PAIR_INTERVAL, PAIR_BURST = 6000, 45
"""Milliseconds a message to the same customer costs WhatsApp, and how many may come at once."""
SKEW = 60.0
"""Seconds by which Twilio's clock and ours may differ."""
STATUS_PATH = "/webhooks/twilio"
"""Where the gateway hears of a message's status."""


class WhatsAppTwilio:
    """Sends texts from one WhatsApp sender of a Twilio account.

    Args:
        settings: `twilio.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._settings = settings.twilio
        self._poster = poster

    def gates(self, response: Response) -> Gates:
        """The rate of the sender, that of the sender to this customer, and the 24 h window."""
        customer, sender = phone_number(response), self._settings.sender
        return Gates(
            (
                rate("sender", f"twilio:sender:{digest(sender)}", self._settings.rate),
                Bucket("pair", f"twilio:pair:{digest(f'{sender} {customer}')}", PAIR_INTERVAL, PAIR_BURST),
            ),
            window=digest(customer),
        )

    def unknown(self, response: Response) -> str:  # noqa: ARG002 - there is one account
        """What the settings say."""
        return self._settings.unknown

    async def find(self, response: Response, text: str, since: float) -> str | None:
        """Look for a part among what the account has sent to this customer since.

        Raises:
            DeliveryFailed: Twilio does not tell.
        """
        query = urlencode({"To": f"whatsapp:{phone_number(response)}", "DateSent>": _date(since), "PageSize": 50})
        answer = await self._poster.get(
            f"{self._url()}?{query}", who="twilio", headers={"Authorization": f"Basic {self._login()}"}
        )
        messages = answer.document().get("messages")
        if not answer.ok or not isinstance(messages, list):
            raise answer.rejection("twilio")
        least = datetime.fromtimestamp(since - SKEW, UTC)
        for message in messages:
            if _is_this(message, text, f"whatsapp:{self._settings.sender}") and _created(message) >= least:
                return str(message["sid"])
        return None

    def parts(self, response: Response) -> list[str]:
        """The text in parts of 1600 characters."""
        return split(response.response.message, LIMIT)

    async def send(self, response: Response, text: str, *, first: bool) -> str:  # noqa: ARG002 - all parts are alike
        """Send one part; the id is Twilio's message SID.

        Raises:
            DeliveryFailed: as `Handler.send` says.
        """
        settings = self._settings
        if not settings.account_sid or not settings.auth_token.get_secret_value() or not settings.sender:
            raise BadAddress(
                "Twilio is not set up: set [twilio] account_sid, auth_token and sender.", code="not_configured"
            )
        form = {
            "From": f"whatsapp:{settings.sender}",
            "To": f"whatsapp:{phone_number(response)}",
            "Body": text,
        }
        if settings.public_url:
            form["StatusCallback"] = f"{settings.public_url}{STATUS_PATH}?messageId={quote(response.message_id)}"
        answer = await self._poster.post(
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


def _is_this(message: Any, text: str, sender: str) -> bool:
    return isinstance(message, dict) and message.get("body") == text and message.get("from") == sender


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
