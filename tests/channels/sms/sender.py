"""The sender."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import msgspec

from msgctl.channels.error_codes import failure
from msgctl.channels.send_limits import SendLimits, digest, rate
from msgctl.channels.text.composer import SMS
from msgctl.channels.text.reply import compose_reply
from msgctl.channels.text.styled import TextPart
from msgctl.config.reply import ReplySettings
from msgctl.domain.errors import BadAddress, DeliveryUnknown
from msgctl.domain.messages import Response
from msgctl.http.client import HttpClient
from tests.channels.sms.errors import CODES

if TYPE_CHECKING:
    from tests.channels.sms import SmsSettings


class SmsSender:
    """Posts texts to `{base_url}/send`.

    Args:
        settings: `channels.sms.*`.
        reply_settings: `reply.*`.
        client: makes the HTTP requests.
    """

    idempotent: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: "SmsSettings", reply_settings: ReplySettings, client: HttpClient) -> None:
        self._settings = settings
        self._reply_settings = reply_settings
        self._dialect = replace(SMS, limit=settings.max_chars)
        self._client = client

    def send_limits(self, response: Response) -> SendLimits:
        """Return the rate of the number."""
        return SendLimits((rate("number", f"sms:{digest(_number(response))}", per_second=100),))

    def unknown_policy(self, response: Response) -> str:  # noqa: ARG002 - as the protocol has it
        """Return `keep`."""
        return "keep"

    async def find_sent(self, response: Response, part: TextPart, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """Raise: the provider cannot be asked."""
        raise DeliveryUnknown("The provider cannot be asked.")

    def parts(self, response: Response) -> list[TextPart]:
        """Return the text without mark-up, in parts."""
        return compose_reply(response, self._dialect, self._reply_settings)

    async def send(self, response: Response, part: TextPart, *, first: bool) -> str:  # noqa: ARG002 - parts are alike
        """Send one part."""
        answer = await self._client.post(
            f"{self._settings.base_url}/send",
            who="sms",
            headers={"Authorization": f"Bearer {self._settings.token.get_secret_value()}"},
            body=msgspec.json.encode({"to": _number(response), "text": part.text}),
        )
        if not answer.ok:
            raise failure("sms", answer, answer.document().get("error", answer.status), CODES)
        return str(answer.document()["id"])


def _number(response: Response) -> str:
    number = response.channel_metadata.get("number")
    if not isinstance(number, str):
        raise BadAddress("channelMetadata.number must be a phone number.")
    return number
