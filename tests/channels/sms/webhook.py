"""The provider's webhook."""

import hmac
from typing import TYPE_CHECKING, cast

from msgctl.channels.inbound import InboundText, derive_id, sanitize_text
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.config.settings import Settings
from msgctl.domain.errors import Unauthorized
from msgctl.domain.messages import Channel

if TYPE_CHECKING:
    from tests.channels.sms import SmsSettings


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate a request by its token, and return the text that it carries."""
    sms = cast("SmsSettings", settings.channels["sms"])
    if not hmac.compare_digest(request.headers.get("x-token", ""), sms.token.get_secret_value()):
        raise Unauthorized("The token is wrong.")
    call = parse_json(await request.body())
    text = InboundText(
        message_id=derive_id("sms", call["id"]),
        conversation_id=derive_id("sms", call["from"]),
        channel=Channel("sms"),
        text=sanitize_text(call["text"]),
        metadata={"number": call["from"]},
        agent_id=sms.agent,
    )
    return WebhookResult([text], body="ok")
