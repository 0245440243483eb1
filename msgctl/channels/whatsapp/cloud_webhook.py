"""Authentication and parsing of Meta's webhooks; https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgctl.channels.inbound import (
    Inbound,
    InboundEvent,
    InboundRefused,
    StatusUpdate,
    for_nobody,
    kind_of,
)
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.channels.whatsapp.cloud_messages import parse_message
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel
from msgctl.observability import logs

STATUSES = frozenset({"sent", "delivered", "read", "failed"})
MESSAGES_FIELD = "messages"
"""The webhook field of messages and statuses."""
COMPANION_FIELDS = frozenset({"messaging_product", "metadata", "contacts"})
"""The members of a value that hold no records."""
UNKNOWN_NUMBER = (
    "A webhook is for a phone number id that no setting names: set [whatsapp] phone_number_id to it, or add"
    " whatsapp:PHONE_NUMBER_ID=AGENT to [inbound] routes."
)
UNREADABLE = InboundRefused(Channel.WHATSAPP, "unreadable", "A record has another form than Meta documents.")

log = logs.get_logger(__name__)


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
    """Yield every record of a webhook: texts, other messages, statuses, events, and records that are refused."""
    if not isinstance(document.get("entry"), list):
        yield InboundRefused(Channel.WHATSAPP, "unreadable", "The webhook has no list of entries.")
    for entry in _records(document.get("entry")):
        if isinstance(entry, InboundRefused):
            yield entry
            continue
        for change in _records(entry.get("changes")):
            yield from _parse_change(settings, change)


def _parse_change(settings: Settings, change: "dict[str, Any] | InboundRefused") -> Iterator[Inbound]:
    if isinstance(change, InboundRefused):
        yield change
    elif not isinstance(value := change.get("value"), dict):
        yield UNREADABLE
    elif change.get("field", MESSAGES_FIELD) != MESSAGES_FIELD:
        yield InboundEvent(Channel.WHATSAPP, kind_of(change.get("field")))
    else:
        yield from _parse_value(settings, value)


def _parse_value(settings: Settings, value: dict[str, Any]) -> Iterator[Inbound]:
    """Yield the records of one number; a fault in one of them keeps none of the others out."""
    number = _phone_number_id(value)
    is_ours = number == settings.whatsapp.phone_number_id or number in settings.inbound.agents("whatsapp")
    for name, parse_record in RECORD_PARSERS.items():
        for record in _records(value.get(name)):
            if isinstance(record, InboundRefused):
                yield record
            elif not (number and is_ours):
                yield for_nobody(Channel.WHATSAPP, UNKNOWN_NUMBER)
            else:
                yield _parse_safely(parse_record, settings, number, record, value)
    for name in value.keys() - RECORD_PARSERS.keys() - COMPANION_FIELDS:
        yield InboundEvent(Channel.WHATSAPP, kind_of(name))


def _parse_safely(
    parse_record: "RecordParser",
    settings: Settings,
    number: str,
    record: dict[str, Any],
    value: dict[str, Any],
) -> Inbound:
    try:
        return parse_record(settings, number, record, value)
    except Exception:  # a record of a form that nobody foresaw must not keep the others out
        log.exception("A record of Meta's webhook cannot be read")
        return UNREADABLE


def _phone_number_id(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    return str(number) if isinstance(number, str | int) else ""


def _parse_status(_settings: Settings, _number: str, status: dict[str, Any], _value: dict[str, Any]) -> Inbound:
    message_id, wamid, name = status.get("biz_opaque_callback_data"), status.get("id"), status.get("status")
    if not isinstance(wamid, str) or not isinstance(name, str):
        return InboundRefused(Channel.WHATSAPP, "no_id", "A status names no message or no state.")
    if not isinstance(message_id, str) or name not in STATUSES:
        # Another program sent the message from this number, or Meta has invented a state.
        return InboundEvent(Channel.WHATSAPP, kind_of(f"status_{name}"))
    number = next((error.get("code") for error in _records(status.get("errors")) if isinstance(error, dict)), None)
    code = f"whatsapp_{number}" if name == "failed" and isinstance(number, int) else ""
    return StatusUpdate(message_id=message_id, provider_id=wamid, status=name, code=code)


RecordParser = Callable[[Settings, str, dict[str, Any], dict[str, Any]], Inbound]
RECORD_PARSERS: Mapping[str, RecordParser] = {"messages": parse_message, "statuses": _parse_status}
"""The lists of records in a value, and the function that parses one of them."""


def _records(value: object) -> list[dict[str, Any] | InboundRefused]:
    """Return the records of a list, with a refusal in place of each one that is not an object."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, dict) and isinstance(value, list) else UNREADABLE for item in items]


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
