"""The frames of the WebSocket in both directions, `{"type": …, "data": {…}}`."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.channels.text.splitter import CLOSING, Overflow, split
from msgctl.channels.text.units import utf8_bytes
from msgctl.domain.messages import DEFAULT_PRIORITY, Identifier, MessageText, Priority, Response, WireStruct
from msgctl.intake.accept import AgentId
from msgctl.observability.metrics import definitions as metrics


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


MIN_TEXT_BYTES = 1024
"""Bytes of a frame that must be left for text; a reply with other fields that large is refused."""

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
    truncated: bool | UnsetType = UNSET
    """Present if the text was cut to fit the frame."""


class ErrorData(WireStruct, kw_only=True, frozen=True):
    """Why a frame was refused, or that a message has failed."""

    code: str
    message: str
    message_id: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    """The number of a reply that is too long for a frame, so that the client can resume after it."""


@dataclass(frozen=True, slots=True)
class FrameLimit:
    """The bound of the frame of one reply.

    Args:
        max_bytes: bytes of the whole frame.
        overflow: whether a longer text is cut or refused.
        closing: the word behind a text that was cut.
    """

    max_bytes: int = 1_048_576
    overflow: Overflow = "cut"
    closing: str = CLOSING


DEFAULT_FRAME_LIMIT = FrameLimit()


def encode_frame(kind: str, data: object) -> str:
    """Encode a frame as text."""
    return msgspec.json.encode({"type": kind, "data": data}).decode()


def reply_frame(response: Response, limit: FrameLimit, refusal: str) -> str:
    """Create the `message` frame of a response, or the `error` frame of one that is too long.

    Args:
        response: the response.
        limit: the bound of the frame.
        refusal: the text of the `error` frame.
    """
    data = _reply_data(response)
    frame = msgspec.json.encode({"type": "message", "data": data})
    if len(frame) <= limit.max_bytes:
        return frame.decode()
    frame_without_text = encode_frame("message", msgspec.structs.replace(data, message="", truncated=True))
    room = limit.max_bytes - utf8_bytes(frame_without_text)
    if limit.overflow == "refuse" or room < MIN_TEXT_BYTES:
        error = ErrorData(code="reply_too_long", message=refusal, message_id=data.message_id, seq=data.seq)
        return encode_frame("error", error)
    metrics.REPLIES_CUT.labels(response.channel).inc()
    parts = split(data.message, room, _json_bytes, max_parts=1, closing=limit.closing)
    return encode_frame("message", msgspec.structs.replace(data, message="".join(parts), truncated=True))


def _json_bytes(text: str) -> int:
    """Return the bytes of a text inside a JSON string, where `"` and control characters take several."""
    return len(msgspec.json.encode(text)) - 2


def _reply_data(response: Response) -> ReplyData:
    reply = response.response
    metadata = ReplyMetadata(
        model=reply.model,
        tokens_used=reply.tokens_used,
        processing_time=response.processing_time,
        finish_reason=reply.finish_reason,
    )
    return ReplyData(
        message_id=response.message_id,
        conversation_id=response.conversation_id,
        message=reply.message,
        timestamp=response.timestamp,
        metadata=metadata,
        seq=UNSET if response.seq is None else response.seq,
    )


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
