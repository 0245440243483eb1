"""Messages, replies, and responses, as they are stored and sent. This module does no I/O and reads no clock.

Names are snake_case in Python and camelCase in JSON (`messageId`). msgspec translates and validates them.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.domain.extensions import CHANNELS

IDENTIFIER_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
Identifier = Annotated[str, msgspec.Meta(pattern=IDENTIFIER_PATTERN)]
"""Id of a message or a conversation: 1 to 64 characters of A-Z a-z 0-9 _ -."""
Priority = Annotated[int, msgspec.Meta(ge=1, le=10)]
"""1 to 10. A lower number is processed sooner."""
MessageText = Annotated[str, msgspec.Meta(min_length=1, max_length=8000)]
"""The text of one message, with its length limits in characters."""
ReplyFormat = Literal["auto", "plain", "as-is"]
"""What happens to an agent's Markdown on phones: rendered for the channel, taken off, or sent as it is."""
PRIORITIES = range(1, 11)
DEFAULT_PRIORITY = 5


CANARY_AGENT_ID = "canary"
"""The agent id of a canary that the worker answers itself. An agent of a customer cannot have this id."""


class Channel(StrEnum):
    """The channel from which a message came and to which its response goes."""

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
    """The state of a message, as clients see it."""

    WAITING = "waiting"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    DELAYED = "delayed"


class WireStruct(msgspec.Struct, rename="camel", frozen=True):
    """The base of everything that is stored or sent as JSON."""

    def to_json(self) -> bytes:
        """Return this record as UTF-8 JSON without white space."""
        return msgspec.json.encode(self)


class Customer(WireStruct, kw_only=True, frozen=True, omit_defaults=True):
    """The person who wrote a message, as far as the channel says. An empty field is absent from the JSON."""

    id: str
    """How the channel identifies the person: a phone number in E.164, a user id of the provider."""
    name: str = ""
    """The name that the person shows to others."""
    username: str = ""
    """The public name of the account, without `@`."""
    language: str = ""
    """The language of the person's app, an IETF tag such as `pt-br`."""


class Quoted(WireStruct, kw_only=True, frozen=True, omit_defaults=True):
    """The earlier message to which a message refers. An empty field is absent from the JSON."""

    message_id: str = ""
    """Its id in msgctl, if the channel names a message that the customer wrote."""
    text: str = ""


class Message(WireStruct, kw_only=True, frozen=True):
    """One accepted message of a customer, with everything that a worker needs to process it."""

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
    customer: Customer | UnsetType = UNSET
    """The person who wrote it; absent if the channel does not say."""
    quoted: Quoted | UnsetType = UNSET
    """The message that it answers; absent if there is none, or the channel does not say."""

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
    """The answer of the agent. The optional fields are null if n8n does not report them."""

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
    format: str | UnsetType = UNSET
    """The agent's `ReplyFormat`; absent: `[reply] format` applies. A value that is not known counts as absent."""


class Response(UnnumberedResponse, kw_only=True, frozen=True):
    """A reply on its way to the channel its message came from."""

    seq: int | None = None
    """The number of this response in its conversation, from 1; absent in what another program published."""
    stream_id: str | None = None
    """The entry of the durable stream that carries it; absent in what another program published."""


class Failure(WireStruct, kw_only=True, frozen=True):
    """The notice to the sockets of a customer that a message became a dead letter."""

    message_id: str
    conversation_id: str
    user_id: str
    channel: Channel
    channel_metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    code: str
    timestamp: str

    @classmethod
    def for_message(cls, message: Message, code: str, *, timestamp: str) -> Self:
        """Build the notice for the sender of a message.

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
    """Return the id of the WebSocket that an event of channel `web` names; empty if it names none."""
    named = event.channel_metadata.get("websocketId")
    return named if isinstance(named, str) else ""
