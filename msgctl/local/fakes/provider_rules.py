"""What the messaging providers demand of a request and answer to it, as their documentation has it."""

import base64
import binascii
import hashlib
import hmac
import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgctl.domain.visible_text import is_visible
from msgctl.local.fakes import telegram_markup

MESSAGE_IDS = itertools.count(1)
PHONE_NUMBER_PATTERN = re.compile(r"\+?[1-9]\d{6,14}")
TELEGRAM_MAX_CHARS, WHATSAPP_MAX_CHARS, TWILIO_MAX_CHARS = 4096, 4096, 1600
TELEGRAM_PARSE_MODES = {None, "HTML", "Markdown", "MarkdownV2"}
CALLBACK_CLOCK_TOLERANCE_S = 300
"""Seconds by which the clock of a callback may differ."""


@dataclass(frozen=True)
class ProviderRequest:
    """A request that a provider was sent.

    Args:
        path: of the URL.
        headers: by lower-case name.
        raw: the body as it came.
        fields: the body read as JSON or as a form.
        secret: what the receiver of callbacks verifies signatures with; empty: not verified.
    """

    path: str
    headers: Mapping[str, str]
    raw: bytes
    fields: Mapping[str, Any]
    secret: str = ""


@dataclass(frozen=True)
class ProviderResponse:
    """The answer: an HTTP status and a JSON body; `problem` says what was wrong with the request."""

    status: int
    body: dict[str, Any]
    problem: str = ""


def answer_telegram(sent: ProviderRequest) -> ProviderResponse:
    """https://core.telegram.org/bots/api#sendmessage."""
    fields, text = sent.fields, sent.fields.get("text")
    problem = ""
    if not re.fullmatch(r"/bot\d+:[\w-]+/sendMessage", sent.path):
        return _reject_telegram(404, "Not Found")
    if not isinstance(fields.get("chat_id"), int | str) or fields["chat_id"] == "":
        problem = "chat_id is empty"
    elif not isinstance(text, str) or not is_visible(text):
        problem = "message text is empty"
    elif len(text.encode("utf-16-le", "surrogatepass")) // 2 > TELEGRAM_MAX_CHARS:
        problem = "message is too long"
    elif fields.get("parse_mode") not in TELEGRAM_PARSE_MODES:
        problem = "unsupported parse_mode"
    problem = problem or telegram_markup.find_problem(fields)
    if problem:
        return _reject_telegram(400, f"Bad Request: {problem}")
    chat = {"id": fields["chat_id"], "type": "private"}
    result = {"message_id": next(MESSAGE_IDS), "date": int(time.time()), "chat": chat, "text": text}
    return ProviderResponse(200, {"ok": True, "result": result})


def answer_whatsapp(sent: ProviderRequest) -> ProviderResponse:
    """https://developers.facebook.com/docs/whatsapp/cloud-api/messages/text-messages."""
    fields = sent.fields
    if not sent.headers.get("authorization", "").startswith("Bearer "):
        return _reject_whatsapp(401, 190, "Invalid OAuth access token - Cannot parse access token")
    text = fields.get("text")
    body = text.get("body") if isinstance(text, dict) else None
    if fields.get("messaging_product") != "whatsapp":
        return _reject_whatsapp(400, 100, "(#100) The parameter messaging_product is required.")
    if not PHONE_NUMBER_PATTERN.fullmatch(str(fields.get("to", ""))):
        return _reject_whatsapp(400, 100, "(#100) The parameter to is required.")
    if fields.get("type", "text") != "text" or not isinstance(body, str) or not body:
        return _reject_whatsapp(400, 100, "(#100) The parameter text['body'] is required.")
    if len(body) > WHATSAPP_MAX_CHARS:
        return _reject_whatsapp(400, 100, "(#100) Param text['body'] must be at most 4096 characters long.")
    contact = {"input": fields["to"], "wa_id": str(fields["to"]).lstrip("+")}
    message = {"id": "wamid." + base64.b64encode(secrets.token_bytes(24)).decode()}
    return ProviderResponse(200, {"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})


def answer_twilio(sent: ProviderRequest) -> ProviderResponse:
    """https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource."""
    fields, body = sent.fields, str(sent.fields.get("Body", ""))
    is_form = sent.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    is_sent_by = _is_twilio_address(fields.get("From")) or fields.get("MessagingServiceSid")
    for demanded, status, code, message in (
        (sent.headers.get("authorization", "").startswith("Basic "), 401, 20003, "Authenticate"),
        (is_form, 400, 21604, "A 'To' phone number is required."),
        (_is_twilio_address(fields.get("To")), 400, 21211, "Invalid 'To' Phone Number"),
        (is_sent_by, 400, 21603, "A 'From' phone number is required."),
        (body, 400, 21602, "Message body is required."),
        (len(body) <= TWILIO_MAX_CHARS, 400, 21617, "The message body exceeds the 1600 character limit"),
    ):
        if not demanded:
            return _reject_twilio(status, code, message)
    answer = {"sid": f"SM{secrets.token_hex(16)}", "status": "queued", "error_code": None}
    return ProviderResponse(201, answer | {"to": fields["To"], "from": fields.get("From"), "body": body})


def answer_callback(sent: ProviderRequest) -> ProviderResponse:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""
    identifier = sent.headers.get("webhook-id", "")
    stamp = sent.headers.get("webhook-timestamp", "")
    problem = ""
    if not identifier or "." in identifier:
        problem = "webhook-id is missing or holds a full stop"
    elif not stamp.isdecimal() or abs(time.time() - int(stamp)) > CALLBACK_CLOCK_TOLERANCE_S:
        problem = "webhook-timestamp is missing or too far from now"
    elif not _is_signed(sent, f"{identifier}.{stamp}."):
        problem = "webhook-signature is missing or wrong"
    return (
        ProviderResponse(401, {"error": problem}, problem)
        if problem
        else ProviderResponse(200, {"received": True})
    )


RESPONDER_BY_PROVIDER: dict[str, Callable[[ProviderRequest], ProviderResponse]] = {
    "telegram": answer_telegram,
    "whatsapp": answer_whatsapp,
    "twilio": answer_twilio,
    "callback": answer_callback,
}


def _is_signed(sent: ProviderRequest, prefix: str) -> bool:
    signatures = [part.removeprefix("v1,") for part in sent.headers.get("webhook-signature", "").split()]
    if not sent.secret:
        return bool(signatures)
    try:
        key = base64.b64decode(sent.secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    right = base64.b64encode(hmac.digest(key, prefix.encode() + sent.raw, hashlib.sha256)).decode()
    return any(hmac.compare_digest(right, signature) for signature in signatures)


def _is_twilio_address(value: Any) -> bool:
    return isinstance(value, str) and bool(PHONE_NUMBER_PATTERN.fullmatch(value.removeprefix("whatsapp:")))


def _reject_telegram(status: int, description: str) -> ProviderResponse:
    return ProviderResponse(status, {"ok": False, "error_code": status, "description": description}, description)


def _reject_whatsapp(status: int, code: int, message: str) -> ProviderResponse:
    error = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": secrets.token_hex(6)}
    return ProviderResponse(status, {"error": error}, message)


def _reject_twilio(status: int, code: int, message: str) -> ProviderResponse:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return ProviderResponse(
        status, {"code": code, "message": message, "more_info": more, "status": status}, message
    )
