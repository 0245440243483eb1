"""The protocol of one WebSocket, without I/O: frames in, frames and requests out.

It guarantees two things. The answer to a request comes before everything that follows from it: live frames are
held back until the answer is complete. And each reply is sent once, whether it arrives live, by `resume`, or both.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from daemons.gateway.translations import Texts
from daemons.gateway.ws.frames import (
    DEFAULT_FRAME_LIMIT,
    ChatMessage,
    FrameLimit,
    MessageFrame,
    ResumeFrame,
    Resumption,
    client_frame_decoder,
    encode_frame,
    error_frame,
    peek_message_id,
    reply_frame,
)
from msgctl.domain.errors import InvalidInput, MalformedBody, MsgctlError
from msgctl.domain.messages import Failure, Response
from msgctl.domain.times import timestamp
from msgctl.intake.accept import AcceptReceipt, Submission, describe_validation_error

DEDUP_CAPACITY = 1024
"""The entries a `ReplyDeduplicator` keeps at least. One `resume` sends fewer replies by default."""

ReplyKey = tuple[str, str | int]
"""A conversation and a sequence number, or two texts that identify a reply without a number."""
ImmediateReply = str
"""A frame that answers immediately."""
ClientRequest = Submission | Resumption
"""A request that the service must process. Answer it with `accepted`, `resumed`, or `refuse`."""


class ChatSession:
    """The state of one socket's conversation with its client.

    Args:
        socket_id: the id that the client receives.
        texts: the texts of frames.
        remembered: the conversations, and the replies out of order, that are remembered at least.
        frame_limit: the bound of the frame of a reply.
    """

    def __init__(
        self,
        socket_id: str,
        texts: Texts,
        *,
        remembered: int = DEDUP_CAPACITY,
        frame_limit: FrameLimit = DEFAULT_FRAME_LIMIT,
    ) -> None:
        self.socket_id = socket_id
        self._texts = texts
        self._frame_limit = frame_limit
        self._deduplicator = ReplyDeduplicator(max(remembered, DEDUP_CAPACITY))
        self._answering = False
        self._held: list[tuple[ReplyKey | None, str, str]] = []

    @property
    def held_count(self) -> int:
        """The number of live frames that wait for an answer."""
        return len(self._held)

    def connected(self) -> str:
        """Return the first frame."""
        return encode_frame("connected", {"socketId": self.socket_id})

    def receive(self, text: str) -> ClientRequest | ImmediateReply:
        """Read a frame of the client. A `ClientRequest` holds back live frames until `release_held`."""
        try:
            frame = client_frame_decoder.decode(text)
        except msgspec.ValidationError as error:
            return self._error(InvalidInput("", details=[describe_validation_error(error)]), peek_message_id(text))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._error(MalformedBody(""))
        match frame:
            case MessageFrame(data=message):
                self._answering = True
                return _submission(message)
            case ResumeFrame(data=resumption):
                self._answering = True
                return resumption
            case _:
                return encode_frame("pong", {})

    def accepted(self, receipt: AcceptReceipt) -> list[str]:
        """Answer a `Submission` that was accepted."""
        processing = {
            "conversationId": receipt.conversation_id,
            "messageId": receipt.message_id,
            "jobId": receipt.message_id,
            "status": "processing",
        }
        return [encode_frame("queued", {"message": self._texts.queued}), encode_frame("processing", processing)]

    def refuse(self, error: MsgctlError, request: ClientRequest | None = None) -> list[str]:
        """Answer a `ClientRequest` that failed, or an invalid frame."""
        message_id = request.message_id if isinstance(request, Submission) else None
        return [self._error(error, message_id)]

    def resumed(self, resumption: Resumption, missed: Sequence[Response], *, recovered: bool) -> list[str]:
        """Answer a `Resumption` with the replies that this socket has not sent yet, in order."""
        conversation = resumption.conversation_id
        if missed and (missed[0].seq or 0) <= resumption.after_seq:
            self._deduplicator.forget_conversation(conversation)  # it started again at 1
        else:
            self._deduplicator.mark_received_up_to(conversation, resumption.after_seq, timestamp())
        shown = (self._deduplicator.add(_reply_key(response), response.timestamp) for response in missed)
        frames = [self._reply_frame(response) for response, is_new in zip(missed, shown, strict=True) if is_new]
        frames.append(encode_frame("resumed", {"conversationId": conversation, "recovered": recovered}))
        return frames

    def release_held(self) -> list[str]:
        """Return the live frames that were held back during a `ClientRequest`."""
        self._answering = False
        held, self._held = self._held, []
        return [text for key, at, text in held if self._is_new(key, at)]

    def deliver(self, response: Response) -> list[str]:
        """Return the frames of a live reply."""
        return self._deliver_live(_reply_key(response), self._reply_frame(response), response.timestamp)

    def deliver_failure(self, failure: Failure) -> list[str]:
        """Return the frames of a message that became a dead letter."""
        text = self._texts.errors["message_failed"]
        key = failure.message_id, failure.timestamp
        return self._deliver_live(key, error_frame(failure.code, text, failure.message_id))

    def progress(self, message_id: str, progress: int) -> list[str]:
        """Return the frames of the progress of a message."""
        return self._deliver_live(None, encode_frame("progress", {"messageId": message_id, "progress": progress}))

    def _reply_frame(self, response: Response) -> str:
        return reply_frame(response, self._frame_limit, self._texts.errors["reply_too_long"])

    def _deliver_live(self, key: ReplyKey | None, text: str, at: str = "") -> list[str]:
        if self._answering:
            self._held.append((key, at, text))
            return []
        return [text] if self._is_new(key, at) else []

    def _is_new(self, key: ReplyKey | None, at: str) -> bool:
        """Return whether a frame was not sent yet, and count it as sent."""
        return key is None or self._deduplicator.add(key, at)

    def _error(self, error: MsgctlError, message_id: str | None = None) -> str:
        problems = (filter(None, (detail["field"], detail["problem"])) for detail in error.details or [])
        details = " ".join(f"{': '.join(parts)}." for parts in problems)
        return error_frame(error.code, f"{self._texts.error_text(error)} {details}".strip(), message_id)


def _submission(message: ChatMessage) -> Submission:
    return Submission(
        agent_id=message.agent_id,
        message=message.content,
        conversation_id=message.conversation_id,
        priority=message.priority,
        message_id=message.message_id,
    )


def _reply_key(response: Response) -> ReplyKey:
    """Return the key of a reply. An external response has no sequence number."""
    return response.conversation_id, response.message_id if response.seq is None else response.seq


class ReplyDeduplicator:
    """Remembers which replies one socket has sent. Replies come in order, so a few numbers stand for thousands.

    A conversation that expired, or that Redis lost, starts again at 1 while its sockets stay open. Then a number
    comes again with a reply that is newer than all that were sent. A duplicate is never newer.

    Args:
        limit: the conversations, and the replies out of order or without a number, that are remembered at least.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known_to_client: dict[str, tuple[int, str]] = {}
        """By conversation: the number up to which the client has all replies, and since when."""
        self._shown_ranges: dict[str, tuple[int, int, str]] = {}
        """By conversation: first and last number of the range that was sent, and the time of the newest reply."""
        self._out_of_order: dict[ReplyKey, None] = {}  # an ordered set

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._known_to_client) + len(self._shown_ranges) + len(self._out_of_order)

    def add(self, key: ReplyKey, at: str = "") -> bool:
        """Count a reply as sent. Return whether it was not sent before.

        Args:
            key: identifies the reply.
            at: when it was created, as of `timestamps.timestamp`. Empty if unknown.
        """
        conversation, number = key
        if isinstance(number, int):
            return self._add_seq(conversation, number, at)
        if key in self._out_of_order:
            return False
        _put_bounded(self._out_of_order, key, None, self._limit)
        return True

    def mark_received_up_to(self, conversation: str, number: int, at: str = "") -> None:
        """Record that the client has all replies up to a number, perhaps from another socket.

        Args:
            conversation: the id of the conversation.
            number: the last sequence number that the client has.
            at: the current time, as of `timestamps.timestamp`. Empty if unknown.
        """
        self._known_to_client.pop(conversation, None)
        _put_bounded(self._known_to_client, conversation, (number, at), self._limit)

    def forget_conversation(self, conversation: str) -> None:
        """Forget all numbers of a conversation, which starts again at 1."""
        self._known_to_client.pop(conversation, None)
        self._shown_ranges.pop(conversation, None)
        for key in [key for key in self._out_of_order if key[0] == conversation and isinstance(key[1], int)]:
            del self._out_of_order[key]

    def _add_seq(self, conversation: str, number: int, at: str) -> bool:
        if (conversation, number) in self._out_of_order or self._is_known(conversation, number):
            if not self._is_newer(conversation, at):
                return False
            self.forget_conversation(conversation)
        first, last, newest = self._shown_ranges.get(conversation, (number, number - 1, ""))
        if number == last + 1:
            last = self._extend_range(conversation, number)
        else:
            _put_bounded(self._out_of_order, (conversation, number), None, self._limit)
        _put_bounded(self._shown_ranges, conversation, (first, last, max(newest, at)), self._limit)
        return True

    def _is_known(self, conversation: str, number: int) -> bool:
        received, _ = self._known_to_client.get(conversation, (0, ""))
        first, last, _ = self._shown_ranges.get(conversation, (1, 0, ""))
        return number <= received or first <= number <= last

    def _is_newer(self, conversation: str, at: str) -> bool:
        """Return whether a reply is newer than all replies that were sent or that the client had."""
        _, since = self._known_to_client.get(conversation, (0, ""))
        *_, newest = self._shown_ranges.get(conversation, (0, 0, ""))
        known = max(since, newest)
        return bool(known) and at > known

    def _extend_range(self, conversation: str, number: int) -> int:
        """Return the end of the range after a number, and merge the replies out of order that continue it."""
        while (conversation, number + 1) in self._out_of_order:
            number += 1
            del self._out_of_order[conversation, number]
        return number


def _put_bounded(memory: dict[Any, Any], key: object, value: object, limit: int) -> None:
    """Add an entry. If the memory is full, drop the oldest one."""
    if key not in memory and len(memory) >= limit:
        del memory[next(iter(memory))]
    memory[key] = value
