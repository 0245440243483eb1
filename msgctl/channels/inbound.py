"""What a webhook brings: a customer's word, something that is no text, or the news of a message that was sent."""

import hashlib
import re
from typing import Any

import msgspec

from msgctl.domain.messages import Channel

READ_AT_MOST = 8000
"""Characters of a text that are taken in, as of any message."""
KIND = re.compile(r"[a-z_]{1,30}")


class InboundText(msgspec.Struct, frozen=True):
    """A text that a customer wrote."""

    message_id: str
    """Ours, made of the provider's id, so that a repeated webhook is known."""
    conversation_id: str
    """Ours, made of the chat's address, which it does not show."""
    channel: Channel
    text: str
    metadata: dict[str, Any]
    """The `channelMetadata` by which the reply goes back to that chat."""
    agent_id: str
    phone: str = ""
    """WhatsApp: the customer's number, for the 24 h window …"""
    said_at: float = 0.0
    """… and the Unix second in which it was said; 0: now."""


class InboundOther(msgspec.Struct, frozen=True):
    """Something else than a text: it is counted, logged without its content, and where it can be, answered."""

    message_id: str
    channel: Channel
    kind: str
    """What it is, as the provider calls it, e.g. `voice`."""
    conversation_id: str = ""
    """Where its sender is told that it cannot be read; empty: nobody is told."""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    phone: str = ""
    said_at: float = 0.0


class StatusUpdate(msgspec.Struct, frozen=True):
    """What became of a message that was sent."""

    message_id: str
    """Ours, which the provider gives back."""
    provider_id: str
    status: str
    """`sent`, `delivered`, `read` or `failed`."""
    code: str = ""
    """Of `failed`, as in the record of a delivery, e.g. `whatsapp_131026`."""


Inbound = InboundText | InboundOther | StatusUpdate


def derive_id(prefix: str, *facts: object) -> str:
    """An identifier of ours for something of a provider's; it shows nothing of it."""
    text = "\0".join(str(fact) for fact in facts)
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def sanitize_text(text: object) -> str:
    """A text as we take it in; empty for anything else."""
    return text[:READ_AT_MOST].replace("\0", "") if isinstance(text, str) else ""


def kind_of(name: object) -> str:
    """The name of a kind, as it may stand in a log and a metric: a provider's own word, or `other`."""
    return name if isinstance(name, str) and KIND.fullmatch(name) else "other"
