"""Authentication and parsing of Meta's webhooks; https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components."""

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
from msgctl.channels.whatsapp.customer import read_cloud_customer, read_cloud_quoted
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel

STATUSES = frozenset({"sent", "delivered", "read", "failed"})
TEXT_FIELDS = (
    ("text", "body"),
    ("image", "caption"),
    ("video", "caption"),
    ("document", "caption"),
    ("button", "text"),
)
"""The field that holds the text of each kind of message."""
UNANSWERED_KINDS = frozenset({"reaction", "system", "unsupported"})
"""Kinds that expect no answer."""


def check_challenge(settings: Settings, mode: str, token: str) -> None:
    """Check that a verification request comes from Meta.

    Raises:
        NotFound: the webhook is disabled.
        Unauthorized: the verify token is wrong.
    """
    expected = settings.whatsapp.verify_token.get_secret_value()
    if not expected:
        raise NotFound("WhatsApp's webhook is disabled: set [whatsapp] verify_token.")
    if mode != "subscribe" or not hmac.compare_digest(expected.encode(), token.encode()):
        raise Unauthorized("The verify token is wrong: enter [whatsapp] verify_token in the app's configuration.")


def check_signature(settings: Settings, signature: str, body: bytes) -> None:
    """Check that a webhook comes from Meta.

    Args:
        settings: `whatsapp.app_secret`.
        signature: the header `X-Hub-Signature-256`.
        body: the raw body.

    Raises:
        NotFound: the webhook is disabled.
        Unauthorized: the signature does not match.
    """
    secret = settings.whatsapp.app_secret.get_secret_value()
    if not secret:
        raise NotFound("WhatsApp's webhook is disabled: set [whatsapp] app_secret, and agent or [inbound] routes.")
    expected = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Unauthorized("The signature does not match the body: check [whatsapp] app_secret.")


def parse(settings: Settings, document: dict[str, Any]) -> Iterator[Inbound]:
    """Yield the texts, other messages and statuses of a webhook that are for configured numbers."""
    for value in _values(document):
        metadata = value.get("metadata")
        number = str(metadata.get("phone_number_id")) if isinstance(metadata, dict) else ""
        if number != settings.whatsapp.phone_number_id and number not in settings.inbound.agents("whatsapp"):
            continue
        for message in _records(value.get("messages")):
            if (parsed := _parse_message(settings, number, message, value.get("contacts"))) is not None:
                yield parsed
        for status in _records(value.get("statuses")):
            if (update := _parse_status(status)) is not None:
                yield update


def _agent_id(settings: Settings, number: str) -> str:
    """Return the id of the agent that answers for a configured number, or an empty text."""
    routed = settings.inbound.agents("whatsapp").get(number, "")
    return routed or (settings.whatsapp.agent if number == settings.whatsapp.phone_number_id else "")


def _parse_message(
    settings: Settings, number: str, message: dict[str, Any], contacts: object
) -> InboundText | InboundOther | None:
    wamid, sender, agent = message.get("id"), message.get("from"), _agent_id(settings, number)
    if not isinstance(wamid, str) or not isinstance(sender, str) or not agent:
        return None
    phone = f"+{sender.lstrip('+')}"
    metadata = {"to": phone, "provider": "cloud"}
    if number != settings.whatsapp.phone_number_id:
        metadata["from"] = number
    message_id, conversation_id = derive_id("wa", wamid), derive_id("wa", number, phone)
    seconds = str(message.get("timestamp", ""))
    said_at = float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0
    text = _text(message)
    if not text:
        kind = kind_of(message.get("type"))
        answered_in = "" if kind in UNANSWERED_KINDS else conversation_id
        return InboundOther(message_id, Channel.WHATSAPP, kind, answered_in, metadata, phone, said_at)
    return InboundText(
        message_id,
        conversation_id,
        Channel.WHATSAPP,
        text,
        metadata,
        agent,
        phone,
        said_at,
        customer=read_cloud_customer(contacts, message, phone),
        quoted=read_cloud_quoted(message),
    )


def _text(message: dict[str, Any]) -> str:
    """Return the customer's text: a message, the caption of a picture, or the label of a pressed button."""
    for kind, name in TEXT_FIELDS:
        content = message.get(kind)
        if isinstance(content, dict) and (text := sanitize_text(content.get(name))):
            return text
    interactive = message.get("interactive")
    for reply in interactive.values() if isinstance(interactive, dict) else ():
        if isinstance(reply, dict) and (text := sanitize_text(reply.get("title"))):
            return text
    return ""


def _parse_status(status: dict[str, Any]) -> StatusUpdate | None:
    message_id, wamid, name = status.get("biz_opaque_callback_data"), status.get("id"), status.get("status")
    if not isinstance(message_id, str) or not isinstance(wamid, str) or name not in STATUSES:
        return None
    errors = _records(status.get("errors"))
    number = errors[0].get("code") if errors else None
    code = f"whatsapp_{number}" if name == "failed" and isinstance(number, int) else ""
    return StatusUpdate(message_id=message_id, provider_id=wamid, status=name, code=code)


def _values(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in _records(document.get("entry")):
        for change in _records(entry.get("changes")):
            if isinstance(value := change.get("value"), dict):
                yield value


def _records(value: object) -> list[dict[str, Any]]:
    return [record for record in value if isinstance(record, dict)] if isinstance(value, list) else []


async def answer_challenge(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Answer Meta's verification request."""
    query = request.query
    check_challenge(settings, query.get("hub.mode", ""), query.get("hub.verify_token", ""))
    return WebhookResult(None, query.get("hub.challenge", ""), "text/plain", {"x-content-type-options": "nosniff"})


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate and parse a batch of messages and statuses."""
    body = await request.body()
    check_signature(settings, request.headers.get("x-hub-signature-256", ""), body)
    return WebhookResult(parse(settings, parse_json(body)))
