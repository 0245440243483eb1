"""Authentication and parsing of Twilio's webhooks; https://www.twilio.com/docs/messaging/guides/webhook-request."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from msgctl.channels.inbound import (
    Inbound,
    InboundEvent,
    InboundOther,
    InboundRefused,
    InboundText,
    StatusUpdate,
    derive_id,
    for_nobody,
    kind_of,
    sanitize_text,
)
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_form
from msgctl.channels.whatsapp.customer import read_twilio_customer, read_twilio_quoted
from msgctl.channels.whatsapp.customer_address import read_twilio_sender
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, Unauthorized
from msgctl.domain.messages import Channel

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
ADDRESS = "whatsapp:"
DEFAULT_PORTS = {"http": 80, "https": 443}
CONTENT_KINDS = frozenset({"application", "audio", "contact", "contacts", "document", "image", "interactive"}) | {
    *("location", "order", "sticker", "text", "video", "voice")
}
"""The kinds of message in which a customer says something, by type of message or of its first attachment."""
UNKNOWN_NUMBER = (
    "A message is to a number that no setting names: set [twilio] sender and agent, or add twilio:+NUMBER=AGENT to"
    " [inbound] routes."
)
OTHER_ACCOUNT = "A webhook is of another account or a subaccount: set [twilio] account_sid to that account's SID."
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""The answer to Twilio: send no immediate reply."""


def check_signature(settings: Settings, signature: str, path: str, form: Iterable[tuple[str, str]]) -> None:
    """Check that a webhook comes from Twilio, which may sign its URL with or without the port.

    Args:
        settings: `twilio.auth_token`, and `twilio.public_url`, since a proxy hides the URL that Twilio called.
        signature: the header `X-Twilio-Signature`.
        path: the path of the request, with its query.
        form: the fields of the request; a name may occur several times.

    Raises:
        NotFound: the webhook is disabled.
        Unauthorized: the signature does not match.
    """
    twilio = settings.twilio
    secret = twilio.auth_token.get_secret_value().encode()
    if not twilio.public_url or not secret:
        raise NotFound(
            "Twilio's webhook is disabled: set [twilio] public_url and auth_token, and agent or [inbound] routes."
        )
    fields = "".join(name + value for name, value in sorted(set(form)))
    given = signature.encode()
    matches = [
        hmac.compare_digest(_sign(secret, url + path + fields), given) for url in _spellings(twilio.public_url)
    ]
    if not any(matches):
        raise Unauthorized("The signature does not match the request: check [twilio] auth_token and public_url.")


def _sign(secret: bytes, text: str) -> bytes:
    return base64.b64encode(hmac.digest(secret, text.encode(), hashlib.sha1))


def _spellings(url: str) -> list[str]:
    """Return a URL without a port and with the configured one or that of its scheme, as Twilio's library tries."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = host if parts.port is None else host.rpartition(":")[0]
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 443)
    login = parts.netloc.removesuffix(host)
    return [parts._replace(netloc=f"{login}{name}").geturl() for name in (bare, f"{bare}:{port}")]


def parse(settings: Settings, form: Mapping[str, str], message_id: str) -> Inbound:
    """Return the message or the status that a webhook carries, or why it is refused.

    Args:
        settings: `twilio.*`, `inbound.routes`.
        form: the fields of the request.
        message_id: the id that msgctl put into the query of the status callback.
    """
    sid = form.get("MessageSid") or form.get("SmsMessageSid", "")
    if form.get("AccountSid", settings.twilio.account_sid) != settings.twilio.account_sid:
        return for_nobody(Channel.WHATSAPP, OTHER_ACCOUNT)
    if not sid:
        return InboundRefused(Channel.WHATSAPP, "no_id", "A form of Twilio has no MessageSid.")
    if status := form.get("MessageStatus"):
        return _parse_status(sid, status, form.get("ErrorCode", ""), message_id)
    return _parse_message(settings, form, sid)


def _parse_status(sid: str, status: str, number: str, message_id: str) -> Inbound:
    name = STATUSES.get(status)
    if not name or not message_id:  # a state on the way, or another program sent the message
        return InboundEvent(Channel.WHATSAPP, kind_of(f"status_{status}"))
    code = f"twilio_{number}" if name == "failed" and number.isdigit() else ""
    return StatusUpdate(message_id, sid, name, code)


def agent_id(settings: Settings, number: str) -> str:
    """Return the id of the agent that answers for a configured number, or an empty text."""
    return settings.inbound.find_agent("twilio", number, (settings.twilio.sender, settings.twilio.agent))


def _parse_message(settings: Settings, form: Mapping[str, str], sid: str) -> Inbound:
    number = form.get("To", "").removeprefix(ADDRESS)
    if not (agent := agent_id(settings, number)):
        return for_nobody(Channel.WHATSAPP, UNKNOWN_NUMBER)
    sender = read_twilio_sender(form)
    if sender is None:
        return InboundRefused(Channel.WHATSAPP, "no_sender", "A message of Twilio is from no WhatsApp address.")
    if sender.phone == number:
        return InboundEvent(Channel.WHATSAPP, "echo")
    metadata = {**sender.metadata(), "provider": "twilio"}
    if number != settings.twilio.sender:
        metadata["from"] = number
    message_id = derive_id("tw", sid)
    conversation_id, *aliases = (derive_id("tw", number, address) for address in sender.all)
    phone, *others = sender.all
    text = sanitize_text(form.get("Body")) or sanitize_text(form.get("ButtonText"))
    if not text:
        kind = kind_of(form.get("MessageType") or form.get("MediaContentType0", "").partition("/")[0])
        return InboundOther(
            message_id,
            Channel.WHATSAPP,
            kind,
            conversation_id if kind in CONTENT_KINDS else "",
            metadata,
            phone,
            aliases=tuple(aliases),
            other_addresses=tuple(others),
        )
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
        aliases=tuple(aliases),
        other_addresses=tuple(others),
    )


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate and parse one message or one status."""
    fields = parse_form(await request.body())
    check_signature(settings, request.headers.get("x-twilio-signature", ""), request.target, fields)
    form = dict(reversed(fields))  # of a repeated name, the first value counts
    return WebhookResult([parse(settings, form, request.query.get("messageId", ""))], NO_REPLY, "text/xml")
