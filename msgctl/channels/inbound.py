"""The items of a webhook: a customer's text, another kind of message, or the status of a sent message."""

import hashlib
import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.domain.messages import Channel, Customer, Quoted
from msgctl.domain.visible_text import is_visible, repair_text

MAX_TEXT_CHARS = 8000
"""Characters of a text that are accepted, as of any message."""
MAX_NAME_CHARS = 256
"""Characters of a customer's name, username, or id that are kept. Every provider permits fewer."""
KIND_REGEX = re.compile(r"[a-z_]{1,30}")


class InboundText(msgspec.Struct, frozen=True):
    """A text that a customer wrote."""

    message_id: str
    """Derived from the provider's id, so that a repeated webhook is recognized."""
    conversation_id: str
    """Derived from the chat's address, which it does not reveal."""
    channel: Channel
    text: str
    metadata: dict[str, Any]
    """The `channelMetadata` of the reply: the address of that chat."""
    agent_id: str
    phone: str = ""
    """WhatsApp: the customer's number, or user id if the number is hidden, for the 24 h window."""
    said_at: float = 0.0
    """The Unix second in which it was written, for the 24 h window; 0: now."""
    customer: Customer | UnsetType = UNSET
    """Who wrote it, as far as the provider says."""
    quoted: Quoted | UnsetType = UNSET
    """The message that it answers, as far as the provider says."""
    aliases: tuple[str, ...] = ()
    """The conversation ids that the other addresses of the same customer lead to."""
    other_addresses: tuple[str, ...] = ()
    """WhatsApp: the other addresses of the customer, for the 24 h window."""


class InboundOther(msgspec.Struct, frozen=True):
    """A message that is not a text: it is counted, logged without its content, and if possible answered."""

    message_id: str
    channel: Channel
    kind: str
    """The provider's name of its kind, e.g. `voice`."""
    conversation_id: str = ""
    """The conversation in which its sender is told that it cannot be read; empty: the sender is not told."""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    phone: str = ""
    said_at: float = 0.0
    aliases: tuple[str, ...] = ()
    other_addresses: tuple[str, ...] = ()


class InboundEvent(msgspec.Struct, frozen=True):
    """A record that is understood and asks nothing of an agent, such as a status of another program's message."""

    channel: Channel
    kind: str
    """The provider's name of its kind, as `kind_of` returns it."""


class InboundMove(msgspec.Struct, frozen=True):
    """A record that tells of a new address of a customer or a chat; the conversation is to stay the same."""

    channel: Channel
    kind: str
    conversation_ids: tuple[str, ...]
    """The ids that the old and the new addresses lead to, the old ones first."""


class InboundRefused(msgspec.Struct, frozen=True):
    """A record that can never become a message. It is counted, and its reason is logged."""

    channel: Channel
    reason: str
    """The code of the reason, e.g. `no_sender`."""
    why: str
    """What is wrong and what to do, without any text or address of a customer."""
    kind: str = "refused"
    """The kind that `msgctl_inbound_total` counts it as."""


class StatusUpdate(msgspec.Struct, frozen=True):
    """The status of a message that was sent."""

    message_id: str
    """The id in msgctl, which the provider returns."""
    provider_id: str
    status: str
    """`sent`, `delivered`, `read` or `failed`."""
    code: str = ""
    """The error code of `failed`, as in a delivery record, e.g. `whatsapp_131026`."""


Inbound = InboundText | InboundOther | InboundEvent | InboundMove | InboundRefused | StatusUpdate


def for_nobody(channel: Channel, why: str) -> InboundRefused:
    """Return the refusal of a record for a bot or number that no setting names."""
    return InboundRefused(channel, "nobody", why, kind="nobody")


def derive_id(prefix: str, *parts: object) -> str:
    """Return an identifier that is derived from a provider's values and does not reveal them."""
    text = "\0".join(str(part) for part in parts)
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def sanitize_text(text: object) -> str:
    """Return a text cut to `MAX_TEXT_CHARS`, without NUL and half characters.

    The text is empty for anything else, and where a reader would see nothing.
    """
    whole = repair_text(text) if isinstance(text, str) else ""
    return whole[:MAX_TEXT_CHARS] if is_visible(whole) else ""


def describe_customer(
    customer_id: object, name: object = "", *, username: object = "", language: object = ""
) -> Customer | UnsetType:
    """Return the customer with these values of a provider, or UNSET without an id. Wrong types count as empty."""
    identity = _label(customer_id)
    if not identity:
        return UNSET
    return Customer(id=identity, name=_label(name), username=_label(username), language=_label(language))


def describe_quoted(*, message_id: str = "", text: object = "") -> Quoted | UnsetType:
    """Return the quoted message; UNSET if neither its id nor its text is known."""
    quoted = Quoted(message_id=message_id, text=sanitize_text(text))
    return quoted if quoted.message_id or quoted.text else UNSET


def _label(value: object) -> str:
    """Return a number or a text on one line, without characters that control a terminal."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    words = sanitize_text(value).split()
    return "".join(sign for sign in " ".join(words) if sign >= " " and sign != "\x7f")[:MAX_NAME_CHARS].rstrip()


def kind_of(name: object) -> str:
    """Return a kind that is safe in a log and a metric: the provider's name, or `other`."""
    return name if isinstance(name, str) and KIND_REGEX.fullmatch(name) else "other"
