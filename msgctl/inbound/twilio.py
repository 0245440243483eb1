"""Twilio's webhooks; https://www.twilio.com/docs/messaging/guides/webhook-request."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

from msgctl.config import Settings
from msgctl.errors import NotFound, Unauthorized
from msgctl.inbound.word import Receipt, Word, readable, stand_for
from msgctl.messages import Channel

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
ADDRESS = "whatsapp:"


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
        raise NotFound("Twilio's webhook is closed: set [twilio] public_url, auth_token and agent.")
    signed = twilio.public_url + path + "".join(name + form[name] for name in sorted(form))
    right = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1))
    if not hmac.compare_digest(right, signature.encode()):
        raise Unauthorized("The signature does not fit the request.")


def read(settings: Settings, form: Mapping[str, str], message_id: str) -> Word | Receipt | None:
    """The text, or the status of a message, that a webhook brings; None for anything else.

    Args:
        settings: `twilio.*`.
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
        return Receipt(message_id, sid, what, code) if what and message_id else None
    sender, text = form.get("From", ""), readable(form.get("Body"))
    if not sender.startswith(ADDRESS) or not text or not settings.twilio.agent:
        return None
    phone = sender.removeprefix(ADDRESS)
    return Word(
        message_id=stand_for("tw", sid),
        conversation_id=stand_for("tw", settings.twilio.sender, phone),
        channel=Channel.WHATSAPP,
        text=text,
        metadata={"to": phone, "provider": "twilio"},
        agent_id=settings.twilio.agent,
        phone=phone,
    )
