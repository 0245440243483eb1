"""The frames of the WebSocket in both directions, `{"type": …, "data": {…}}`."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.domain.messages import DEFAULT_PRIORITY, Identifier, MessageText, Priority, Response, WireStruct
from msgctl.intake.accept import AgentId


class _ClientRecord(WireStruct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The base of all structs that a client sends."""


class ChatMessage(_ClientRecord, kw_only=True, frozen=True):
    """The data of a message for an agent."""

    agent_id: AgentId
    content: MessageText
    conversation_id: Identifier | None = None
    priority: Priority = DEFAULT_PRIORITY
    message_id: Identifier | None = None


class Resumption(_ClientRecord, kw_only=True, frozen=True):
    """The position from which a client resumes."""

    conversation_id: Identifier
    after_seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class MessageFrame(_ClientRecord, kw_only=True, frozen=True, tag="message", tag_field="type"):
    """A message for an agent."""

    data: ChatMessage


class ResumeFrame(_ClientRecord, kw_only=True, frozen=True, tag="resume", tag_field="type"):
    """Requests the replies that were missed."""

    data: Resumption


class PingFrame(_ClientRecord, kw_only=True, frozen=True, tag="ping", tag_field="type"):
    """Checks whether the gateway answers."""

    data: dict[str, Any] | None = None


client_frame_decoder = msgspec.json.Decoder(MessageFrame | ResumeFrame | PingFrame)


class ReplyMetadata(WireStruct, kw_only=True, frozen=True):
    """How a reply was produced."""

    model: str | None
    tokens_used: int | None
    processing_time: int | None
    """Milliseconds."""
    finish_reason: str | None


class ReplyData(WireStruct, kw_only=True, frozen=True):
    """A reply as the WebSocket sends it."""

    message_id: str
    conversation_id: str
    message: str
    timestamp: str
    metadata: ReplyMetadata
    seq: int | UnsetType = UNSET
    """Absent in an external response."""


class ErrorData(WireStruct, kw_only=True, frozen=True):
    """Why a frame was refused, or that a message has failed."""

    code: str
    message: str
    message_id: str | UnsetType = UNSET


def encode_frame(kind: str, data: object) -> str:
    """Encode a frame as text."""
    return msgspec.json.encode({"type": kind, "data": data}).decode()


def reply_frame(response: Response) -> str:
    """Create the `message` frame of a response."""
    reply = response.response
    metadata = ReplyMetadata(
        model=reply.model,
        tokens_used=reply.tokens_used,
        processing_time=response.processing_time,
        finish_reason=reply.finish_reason,
    )
    data = ReplyData(
        message_id=response.message_id,
        conversation_id=response.conversation_id,
        message=reply.message,
        timestamp=response.timestamp,
        metadata=metadata,
        seq=UNSET if response.seq is None else response.seq,
    )
    return encode_frame("message", data)


def error_frame(code: str, text: str, message_id: str | None = None) -> str:
    """Create an `error` frame."""
    return encode_frame("error", ErrorData(code=code, message=text, message_id=message_id or UNSET))


class _MessageIdData(msgspec.Struct):
    """The part of a frame that tells which message an error is about."""

    message_id: Identifier | None = msgspec.field(name="messageId", default=None)


class _MessageIdFrame(msgspec.Struct):
    data: _MessageIdData


_message_id_decoder = msgspec.json.Decoder(_MessageIdFrame)


def peek_message_id(text: str) -> str | None:
    """Return the message id of an otherwise invalid frame, or None if it cannot be read."""
    try:
        return _message_id_decoder.decode(text).data.message_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
