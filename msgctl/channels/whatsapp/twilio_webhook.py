"""Authentication and parsing of Twilio's webhooks; https://www.twilio.com/docs/messaging/guides/webhook-request."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

from msgctl.channels.inbound import (
    Inbound,
    InboundOther,
    InboundText,
    StatusUpdate,
    derive_id,
    kind_of,
    sanitize_text,
)
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_form
from msgctl.channels.whatsapp.customer import read_twilio_customer, read_twilio_quoted
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
ADDRESS = "whatsapp:"
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""The answer to Twilio: send no immediate reply."""


def check_signature(settings: Settings, signature: str, path: str, form: Mapping[str, str]) -> None:
    """Check that a webhook comes from Twilio.

    Args:
        settings: `twilio.auth_token`, and `twilio.public_url`, since a proxy hides the URL that Twilio called.
        signature: the header `X-Twilio-Signature`.
        path: the path of the request, with its query.
        form: the fields of the request.

    Raises:
        NotFound: the webhook is disabled.
        Unauthorized: the signature does not match.
    """
    twilio = settings.twilio
    secret = twilio.auth_token.get_secret_value()
    if not twilio.public_url or not secret:
        raise NotFound(
            "Twilio's webhook is disabled: set [twilio] public_url and auth_token, and agent or [inbound] routes."
        )
    signed = twilio.public_url + path + "".join(name + form[name] for name in sorted(form))
    expected = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1))
    if not hmac.compare_digest(expected, signature.encode()):
        raise Unauthorized("The signature does not match the request: check [twilio] auth_token and public_url.")


def parse(settings: Settings, form: Mapping[str, str], message_id: str) -> Inbound | None:
    """Return the message or the status that a webhook carries; None if it is for another account or sender.

    Args:
        settings: `twilio.*`, `inbound.routes`.
        form: the fields of the request.
        message_id: the id that msgctl put into the query of the status callback.
    """
    sid = form.get("MessageSid", "")
    if form.get("AccountSid", settings.twilio.account_sid) != settings.twilio.account_sid or not sid:
        return None
    if status := form.get("MessageStatus"):
        name = STATUSES.get(status)
        number = form.get("ErrorCode", "")
        code = f"twilio_{number}" if name == "failed" and number.isdigit() else ""
        return StatusUpdate(message_id, sid, name, code) if name and message_id else None
    return _parse_message(settings, form, sid)


def _agent_id(settings: Settings, number: str) -> str:
    """Return the id of the agent that answers for a configured number, or an empty text."""
    routed = settings.inbound.agents("twilio").get(number, "")
    return routed or (settings.twilio.agent if number == settings.twilio.sender else "")


def _parse_message(settings: Settings, form: Mapping[str, str], sid: str) -> InboundText | InboundOther | None:
    sender, number = form.get("From", ""), form.get("To", "").removeprefix(ADDRESS)
    if not sender.startswith(ADDRESS) or not (agent := _agent_id(settings, number)):
        return None
    phone = sender.removeprefix(ADDRESS)
    metadata = {"to": phone, "provider": "twilio"}
    if number != settings.twilio.sender:
        metadata["from"] = number
    message_id, conversation_id = derive_id("tw", sid), derive_id("tw", number, phone)
    text = sanitize_text(form.get("Body")) or sanitize_text(form.get("ButtonText"))
    if not text:
        kind = kind_of(form.get("MessageType") or form.get("MediaContentType0", "").partition("/")[0])
        return InboundOther(message_id, Channel.WHATSAPP, kind, conversation_id, metadata, phone)
    return InboundText(
        message_id,
        conversation_id,
        Channel.WHATSAPP,
        text,
        metadata,
        agent,
        phone,
        customer=read_twilio_customer(form, phone),
        quoted=read_twilio_quoted(form),
    )


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate and parse one message or one status."""
    form = parse_form(await request.body())
    check_signature(settings, request.headers.get("x-twilio-signature", ""), request.target, form)
    received = parse(settings, form, request.query.get("messageId", ""))
    return WebhookResult([received] if received else [], NO_REPLY, "text/xml")
