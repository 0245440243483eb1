"""Meta's webhooks; https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components."""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from msgctl.config import Settings
from msgctl.errors import NotFound, Unauthorized
from msgctl.inbound.word import Receipt, Word, readable, stand_for
from msgctl.messages import Channel

STATUSES = frozenset({"sent", "delivered", "read", "failed"})


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
        raise NotFound("WhatsApp's webhook is closed: set [whatsapp] app_secret and agent.")
    right = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    if not hmac.compare_digest(right.encode(), signature.encode()):
        raise Unauthorized("The signature does not fit the body.")


def read(settings: Settings, document: dict[str, Any]) -> Iterator[Word | Receipt]:
    """The texts and the statuses that a webhook brings for our number; all else is passed over."""
    for value in _values(document):
        about = value.get("metadata")
        number = about.get("phone_number_id") if isinstance(about, dict) else None
        if str(number) != settings.whatsapp.phone_number_id:
            continue
        for message in _records(value.get("messages")):
            if (word := _word(settings, message)) is not None:
                yield word
        for status in _records(value.get("statuses")):
            if (receipt := _receipt(status)) is not None:
                yield receipt


def _word(settings: Settings, message: dict[str, Any]) -> Word | None:
    wamid, sender, content = message.get("id"), message.get("from"), message.get("text")
    text = readable(content.get("body")) if isinstance(content, dict) else ""
    if not text or not isinstance(wamid, str) or not isinstance(sender, str) or not settings.whatsapp.agent:
        return None
    phone = f"+{sender.lstrip('+')}"
    return Word(
        message_id=stand_for("wa", wamid),
        conversation_id=stand_for("wa", settings.whatsapp.phone_number_id, phone),
        channel=Channel.WHATSAPP,
        text=text,
        metadata={"to": phone, "provider": "cloud"},
        agent_id=settings.whatsapp.agent,
        phone=phone,
    )


def _receipt(status: dict[str, Any]) -> Receipt | None:
    ours, wamid, what = status.get("biz_opaque_callback_data"), status.get("id"), status.get("status")
    if not isinstance(ours, str) or not isinstance(wamid, str) or what not in STATUSES:
        return None
    errors = _records(status.get("errors"))
    number = errors[0].get("code") if errors else None
    code = f"whatsapp_{number}" if what == "failed" and isinstance(number, int) else ""
    return Receipt(message_id=ours, provider_id=wamid, status=what, code=code)


def _values(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in _records(document.get("entry")):
        for change in _records(entry.get("changes")):
            if isinstance(value := change.get("value"), dict):
                yield value


def _records(found: object) -> list[dict[str, Any]]:
    return [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []
