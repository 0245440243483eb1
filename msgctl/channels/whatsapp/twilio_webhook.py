"""Twilio's webhooks; https://www.twilio.com/docs/messaging/guides/webhook-request."""

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
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
ADDRESS = "whatsapp:"
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""The answer to Twilio: nothing is to be sent at once."""


def check(settings: Settings, signature: str, path: str, form: Mapping[str, str]) -> None:
    """Pass if a webhook is Twilio's.

    Args:
        settings: `twilio.auth_token` and `twilio.public_url`: behind a proxy only they know what Twilio called.
        signature: the header `X-Twilio-Signature`.
        path: of the request, with its query.
        form: its fields.

    Raises:
        NotFound: the webhook is closed.
        Unauthorized: it is not.
    """
    twilio = settings.twilio
    secret = twilio.auth_token.get_secret_value()
    if not twilio.public_url or not secret:
        raise NotFound(
            "Twilio's webhook is closed: set [twilio] public_url and auth_token, and agent or [inbound] routes."
        )
    signed = twilio.public_url + path + "".join(name + form[name] for name in sorted(form))
    right = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1))
    if not hmac.compare_digest(right, signature.encode()):
        raise Unauthorized("The signature does not fit the request.")


def read(settings: Settings, form: Mapping[str, str], message_id: str) -> Inbound | None:
    """What a webhook brings: a text, something that is none, or the status of a message; None: it is not for us.

    Args:
        settings: `twilio.*`, `inbound.routes`.
        form: the request's fields.
        message_id: from the query of a status callback, where we have put it.
    """
    sid = form.get("MessageSid", "")
    if form.get("AccountSid", settings.twilio.account_sid) != settings.twilio.account_sid or not sid:
        return None
    if status := form.get("MessageStatus"):
        what = STATUSES.get(status)
        number = form.get("ErrorCode", "")
        code = f"twilio_{number}" if what == "failed" and number.isdigit() else ""
        return StatusUpdate(message_id, sid, what, code) if what and message_id else None
    return _said(settings, form, sid)


def agent_of(settings: Settings, number: str) -> str:
    """The id of the agent that answers for a number of ours; empty: none does."""
    routed = settings.inbound.agents("twilio").get(number, "")
    return routed or (settings.twilio.agent if number == settings.twilio.sender else "")


def _said(settings: Settings, form: Mapping[str, str], sid: str) -> InboundText | InboundOther | None:
    sender, number = form.get("From", ""), form.get("To", "").removeprefix(ADDRESS)
    if not sender.startswith(ADDRESS) or not (agent := agent_of(settings, number)):
        return None
    phone = sender.removeprefix(ADDRESS)
    metadata = {"to": phone, "provider": "twilio"}
    if number != settings.twilio.sender:
        metadata["from"] = number
    conversation = derive_id("tw", number, phone)
    text = sanitize_text(form.get("Body")) or sanitize_text(form.get("ButtonText"))
    if not text:
        kind = kind_of(form.get("MessageType") or form.get("MediaContentType0", "").partition("/")[0])
        return InboundOther(derive_id("tw", sid), Channel.WHATSAPP, kind, conversation, metadata, phone)
    return InboundText(derive_id("tw", sid), conversation, Channel.WHATSAPP, text, metadata, agent, phone)


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Take one text, or one status."""
    form = parse_form(await request.body())
    check(settings, request.headers.get("x-twilio-signature", ""), request.target, form)
    received = read(settings, form, request.query.get("messageId", ""))
    return WebhookResult([received] if received else [], NO_REPLY, "text/xml")
