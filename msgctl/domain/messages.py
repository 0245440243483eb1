"""What travels: a message, the agent's reply to it, the response that is delivered. Pure: no I/O, no clock.

Python names are snake_case, the wire's are camelCase (`messageId`); msgspec translates and validates.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Any, Self

import msgspec

from msgctl.domain.extensions import CHANNELS

IDENTIFIER_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
Identifier = Annotated[str, msgspec.Meta(pattern=IDENTIFIER_PATTERN)]
"""Id of a message or a conversation: 1 to 64 characters of A-Z a-z 0-9 _ -."""
Priority = Annotated[int, msgspec.Meta(ge=1, le=10)]
"""1 to 10; a lower number is worked sooner."""
MessageText = Annotated[str, msgspec.Meta(min_length=1, max_length=8000)]
"""What a customer may say at once, in characters."""
PRIORITIES = range(1, 11)
DEFAULT_PRIORITY = 5


CANARY_AGENT_ID = "canary"
"""The agent of a synthetic message that the worker answers itself; no agent of a customer can be called so."""


class Channel(StrEnum):
    """Where a message came from and its response goes back to."""

    # The members are the channels that msgctl ships. The name of a channel that an extension adds is a valid value
    # too, though no member: to iterate over all channels, call `msgctl.channels.names.channel_names`.

    WEB = "web"
    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"
    API = "api"

    @classmethod
    def _missing_(cls, value: object) -> "Channel | None":
        """Return the value of a channel that an extension has added."""
        if not isinstance(value, str) or value not in CHANNELS.names():
            return None
        if value not in _ADDED:
            added = str.__new__(cls, value)
            added._name_, added._value_ = value.upper(), value
            _ADDED[value] = added
        return _ADDED[value]


_ADDED: dict[str, Channel] = {}
"""One value a name, so that `is` compares them as it does members."""


DIGEST_V1 = (
    ("messageId", "message_id"),
    ("conversationId", "conversation_id"),
    ("agentId", "agent_id"),
    ("userId", "user_id"),
    ("message", "message"),
    ("channel", "channel"),
    ("channelMetadata", "channel_metadata"),
    ("priority", "priority"),
)
"""The fields that count in version 1 of a message's digest: their names in the digested JSON, and in `Message`."""
DIGEST_V1_CONSTANTS = {"timestamp": ""}
"""What the digested JSON of version 1 holds besides, the same for every message."""


class State(StrEnum):
    """Where a message is in its life, as the outside sees it."""

    WAITING = "waiting"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    DELAYED = "delayed"


class WireStruct(msgspec.Struct, rename="camel", frozen=True):
    """The base of everything that is stored or sent as JSON."""

    def to_json(self) -> bytes:
        """This record as UTF-8 JSON without white space."""
        return msgspec.json.encode(self)


class Message(WireStruct, kw_only=True, frozen=True):
    """One message of a customer, as accepted; what a worker needs and nothing it must look up twice."""

    message_id: Identifier
    conversation_id: Identifier
    agent_id: str
    user_id: str
    message: str
    channel: Channel = Channel.WEB
    channel_metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: Priority = DEFAULT_PRIORITY
    timestamp: str
    """When it was accepted, RFC 3339 in UTC."""

    def digest(self) -> str:
        """Return the SHA-256, in hex, of what a repeated request must repeat: the fields of `DIGEST_V1`.

        A repetition may reach a later version of this program, so the digest of a message never changes: a new
        field stays out of it. If a new field must count, it goes into a second version of the digest, used only
        for messages that set it.

        The conversation counts only as the client gave it: `intake` passes the digest of a message whose generated
        ids are blank. The order of names in an object does not count, as in all JSON.
        """
        repeated = {wire_name: getattr(self, name) for wire_name, name in DIGEST_V1}
        return hashlib.sha256(msgspec.json.encode(repeated | DIGEST_V1_CONSTANTS, order="sorted")).hexdigest()


class Turn(WireStruct, kw_only=True, frozen=True):
    """One utterance in a conversation's history."""

    role: str
    """`user` or `assistant`."""
    content: str
    timestamp: str


class Reply(WireStruct, kw_only=True, frozen=True):
    """What the agent said. The numbers are null where n8n does not tell them."""

    message: str
    tokens_used: int | None = None
    model: str | None = None
    finish_reason: str | None = None


class UnnumberedResponse(WireStruct, kw_only=True, frozen=True):
    """A response as the worker writes it, before the commit gives it its number."""

    message_id: str
    conversation_id: str
    agent_id: str
    response: Reply
    channel: Channel
    channel_metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    timestamp: str
    processing_time: int | None = None
    """Milliseconds from claim to commit."""
    user_id: str | None = None
    """Absent in what another program published."""


class Response(UnnumberedResponse, kw_only=True, frozen=True):
    """A reply on its way to the channel its message came from."""

    seq: int | None = None
    """The number of this response in its conversation, from 1; absent in what another program published."""
    stream_id: str | None = None
    """The entry of the durable stream that carries it; absent in what another program published."""


class Failure(WireStruct, kw_only=True, frozen=True):
    """Told to the customer's socket when a message ends in the dead letters."""

    message_id: str
    conversation_id: str
    user_id: str
    channel: Channel
    channel_metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    code: str
    timestamp: str

    @classmethod
    def for_message(cls, message: Message, code: str, *, timestamp: str) -> Self:
        """Build what the sender of a message is told.

        Args:
            message: the message that ended.
            code: the code of the error that ended it.
            timestamp: when it ended, RFC 3339.
        """
        return cls(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            user_id=message.user_id,
            channel=message.channel,
            channel_metadata=message.channel_metadata,
            code=code,
            timestamp=timestamp,
        )


def target_socket_id(event: UnnumberedResponse | Failure) -> str:
    """The id of the WebSocket that an event of channel `web` is for; empty if it names none."""
    named = event.channel_metadata.get("websocketId")
    return named if isinstance(named, str) else ""
