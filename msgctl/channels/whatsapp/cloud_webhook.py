"""Meta's webhooks; https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components."""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from msgctl.channels.inbound import (
    Inbound,
    InboundOther,
    InboundText,
    StatusUpdate,
    derive_id,
    kind_of,
    sanitize_text,
)
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel

STATUSES = frozenset({"sent", "delivered", "read", "failed"})
WORDS = (
    ("text", "body"),
    ("image", "caption"),
    ("video", "caption"),
    ("document", "caption"),
    ("button", "text"),
)
"""Where a message of each kind has its words."""
SILENT = frozenset({"reaction", "system", "unsupported"})
"""Kinds that wait for no answer."""


def check_challenge(settings: Settings, mode: str, token: str) -> None:
    """Pass if it is Meta who asks whether this webhook is ours.

    Raises:
        NotFound: the webhook is closed.
        Unauthorized: the verify token is another one.
    """
    expected = settings.whatsapp.verify_token.get_secret_value()
    if not expected:
        raise NotFound("WhatsApp's webhook is closed: set [whatsapp] verify_token.")
    if mode != "subscribe" or not hmac.compare_digest(expected.encode(), token.encode()):
        raise Unauthorized("The verify token is another one.")


def check(settings: Settings, signature: str, body: bytes) -> None:
    """Pass if a webhook is Meta's.

    Args:
        settings: `whatsapp.app_secret`.
        signature: the header `X-Hub-Signature-256`.
        body: as it came.

    Raises:
        NotFound: the webhook is closed.
        Unauthorized: it is not.
    """
    secret = settings.whatsapp.app_secret.get_secret_value()
    if not secret:
        raise NotFound("WhatsApp's webhook is closed: set [whatsapp] app_secret, and agent or [inbound] routes.")
    right = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    if not hmac.compare_digest(right.encode(), signature.encode()):
        raise Unauthorized("The signature does not fit the body.")


def read(settings: Settings, document: dict[str, Any]) -> Iterator[Inbound]:
    """The texts, the statuses and the rest that a webhook brings for our numbers."""
    for value in _values(document):
        about = value.get("metadata")
        number = str(about.get("phone_number_id")) if isinstance(about, dict) else ""
        if number != settings.whatsapp.phone_number_id and number not in settings.inbound.agents("whatsapp"):
            continue
        for message in _records(value.get("messages")):
            if (said := _said(settings, number, message)) is not None:
                yield said
        for status in _records(value.get("statuses")):
            if (receipt := _receipt(status)) is not None:
                yield receipt


def agent_of(settings: Settings, number: str) -> str:
    """The id of the agent that answers for a number of ours; empty: none does."""
    routed = settings.inbound.agents("whatsapp").get(number, "")
    return routed or (settings.whatsapp.agent if number == settings.whatsapp.phone_number_id else "")


def _said(settings: Settings, number: str, message: dict[str, Any]) -> InboundText | InboundOther | None:
    wamid, sender, agent = message.get("id"), message.get("from"), agent_of(settings, number)
    if not isinstance(wamid, str) or not isinstance(sender, str) or not agent:
        return None
    phone = f"+{sender.lstrip('+')}"
    metadata = {"to": phone, "provider": "cloud"}
    if number != settings.whatsapp.phone_number_id:
        metadata["from"] = number
    ours, conversation = derive_id("wa", wamid), derive_id("wa", number, phone)
    stamp = str(message.get("timestamp", ""))
    said_at = float(stamp) if stamp.isascii() and stamp.isdigit() else 0.0
    text = _text(message)
    if not text:
        kind = kind_of(message.get("type"))
        return InboundOther(
            ours, Channel.WHATSAPP, kind, "" if kind in SILENT else conversation, metadata, phone, said_at
        )
    return InboundText(ours, conversation, Channel.WHATSAPP, text, metadata, agent, phone, said_at)


def _text(message: dict[str, Any]) -> str:
    """What the customer wrote: a text, the words to a picture, or the button that was pressed."""
    for kind, name in WORDS:
        content = message.get(kind)
        if isinstance(content, dict) and (text := sanitize_text(content.get(name))):
            return text
    pressed = message.get("interactive")
    for reply in pressed.values() if isinstance(pressed, dict) else ():
        if isinstance(reply, dict) and (text := sanitize_text(reply.get("title"))):
            return text
    return ""


def _receipt(status: dict[str, Any]) -> StatusUpdate | None:
    ours, wamid, what = status.get("biz_opaque_callback_data"), status.get("id"), status.get("status")
    if not isinstance(ours, str) or not isinstance(wamid, str) or what not in STATUSES:
        return None
    errors = _records(status.get("errors"))
    number = errors[0].get("code") if errors else None
    code = f"whatsapp_{number}" if what == "failed" and isinstance(number, int) else ""
    return StatusUpdate(message_id=ours, provider_id=wamid, status=what, code=code)


def _values(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in _records(document.get("entry")):
        for change in _records(entry.get("changes")):
            if isinstance(value := change.get("value"), dict):
                yield value


def _records(found: object) -> list[dict[str, Any]]:
    return [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []


async def answer_challenge(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Prove to Meta that this webhook is ours."""
    asked = request.query
    check_challenge(settings, asked.get("hub.mode", ""), asked.get("hub.verify_token", ""))
    return WebhookResult(None, asked.get("hub.challenge", ""), "text/plain", {"x-content-type-options": "nosniff"})


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Take texts and statuses, many at once."""
    body = await request.body()
    check(settings, request.headers.get("x-hub-signature-256", ""), body)
    return WebhookResult(read(settings, parse_json(body)))
