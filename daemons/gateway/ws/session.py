"""What is said on one WebSocket, and in which order. Pure: frames in, frames and questions out; no I/O, no clock.

Two promises are kept here. What a client asks is answered before anything that follows from it: while an answer is
being worked out, live frames wait. And a reply is shown once, whether it came live, by `resume`, or both.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from daemons.gateway.translations import Texts
from daemons.gateway.ws.frames import (
    ChatMessage,
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
from msgctl.domain.timestamps import timestamp
from msgctl.intake.accept import AcceptReceipt, Submission, describe_validation_error

DEDUP_CAPACITY = 1024
"""Replies that one socket remembers for `ReplyDeduplicator`; more than one `resume` sends by default."""

ReplyKey = tuple[str, str | int]
"""A conversation and a number in it, or two texts that together stand for something without a number."""
ImmediateReply = str
"""A frame that answers at once."""
ClientRequest = Submission | Resumption
"""What must be worked out before it can be answered with `accepted`, `resumed` or `refuse`."""


class ChatSession:
    """The state of one socket's conversation with its client.

    Args:
        socket_id: what the client is told it is called.
        texts: the language of the texts.
        remembered: how many conversations, and replies out of order, are remembered at least.
    """

    def __init__(self, socket_id: str, texts: Texts, *, remembered: int = DEDUP_CAPACITY) -> None:
        self.socket_id = socket_id
        self._texts = texts
        self._deduplicator = ReplyDeduplicator(max(remembered, DEDUP_CAPACITY))
        self._answering = False
        self._held: list[tuple[ReplyKey | None, str, str]] = []

    @property
    def held_count(self) -> int:
        """How many live frames wait for an answer to be finished."""
        return len(self._held)

    def connected(self) -> str:
        """The first frame."""
        return encode_frame("connected", {"socketId": self.socket_id})

    def receive(self, text: str) -> ClientRequest | ImmediateReply:
        """Read a client's frame; a `ClientRequest` holds live frames back until `release`."""
        try:
            said = client_frame_decoder.decode(text)
        except msgspec.ValidationError as error:
            return self._error(InvalidInput("", details=[describe_validation_error(error)]), peek_message_id(text))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._error(MalformedBody(""))
        match said:
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

    def refuse(self, error: MsgctlError, question: ClientRequest | None = None) -> list[str]:
        """Answer a `ClientRequest` that cannot be granted or worked out now, or a frame that is none at all."""
        message_id = question.message_id if isinstance(question, Submission) else None
        return [self._error(error, message_id)]

    def resumed(self, resumption: Resumption, missed: Sequence[Response], *, recovered: bool) -> list[str]:
        """Answer a `Resumption` with what this socket has not shown yet, in order."""
        conversation = resumption.conversation_id
        if missed and (missed[0].seq or 0) <= resumption.after_seq:
            self._deduplicator.forget_conversation(conversation)  # it began anew
        else:
            self._deduplicator.mark_received_up_to(conversation, resumption.after_seq, timestamp())
        shown = (self._deduplicator.add(_reply_key(response), response.timestamp) for response in missed)
        frames = [reply_frame(response) for response, is_new in zip(missed, shown, strict=True) if is_new]
        frames.append(encode_frame("resumed", {"conversationId": conversation, "recovered": recovered}))
        return frames

    def release_held(self) -> list[str]:
        """The live frames that waited while a `ClientRequest` was answered."""
        self._answering = False
        held, self._held = self._held, []
        return [text for key, at, text in held if self._is_new(key, at)]

    def deliver(self, response: Response) -> list[str]:
        """A reply that arrives live."""
        return self._deliver_live(_reply_key(response), reply_frame(response), response.timestamp)

    def deliver_failure(self, failure: Failure) -> list[str]:
        """A message that ended in the dead letters."""
        text = self._texts.errors["message_failed"]
        key = failure.message_id, failure.timestamp
        return self._deliver_live(key, error_frame(failure.code, text, failure.message_id))

    def progress(self, message_id: str, progress: int) -> list[str]:
        """How far a message has come."""
        return self._deliver_live(None, encode_frame("progress", {"messageId": message_id, "progress": progress}))

    def _deliver_live(self, key: ReplyKey | None, text: str, at: str = "") -> list[str]:
        if self._answering:
            self._held.append((key, at, text))
            return []
        return [text] if self._is_new(key, at) else []

    def _is_new(self, key: ReplyKey | None, at: str) -> bool:
        """Whether this may be shown now; from then on it counts as shown."""
        return key is None or self._deduplicator.add(key, at)

    def _error(self, error: MsgctlError, message_id: str | None = None) -> str:
        named = (filter(None, (detail["field"], detail["problem"])) for detail in error.details or [])
        details = " ".join(f"{': '.join(parts)}." for parts in named)
        return error_frame(error.code, f"{self._texts.error_text(error)} {details}".strip(), message_id)


def _submission(said: ChatMessage) -> Submission:
    return Submission(
        agent_id=said.agent_id,
        message=said.content,
        conversation_id=said.conversation_id,
        priority=said.priority,
        message_id=said.message_id,
    )


def _reply_key(response: Response) -> ReplyKey:
    """What tells one reply of a conversation from another; one that another program published has no number."""
    return response.conversation_id, response.message_id if response.seq is None else response.seq


class ReplyDeduplicator:
    """A memory of replies, each of which is to be shown once.

    Args:
        limit: conversations, and things out of order or without a number, that are remembered at least.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known_to_client: dict[str, tuple[int, str]] = {}
        """By conversation: up to which number the client has all, wherever from, and since when."""
        self._shown_ranges: dict[str, tuple[int, int, str]] = {}
        """By conversation: first and last of the numbers shown one after the other; when the youngest was made."""
        self._out_of_order: dict[ReplyKey, None] = {}  # a set that knows its oldest member

    def __len__(self) -> int:
        """How many entries it takes."""
        return len(self._known_to_client) + len(self._shown_ranges) + len(self._out_of_order)

    def add(self, key: ReplyKey, at: str = "") -> bool:
        """Whether this has not been shown yet; from now on it has.

        Args:
            key: what it is.
            at: when it was made, as `clock.timestamp`; empty: unknown.
        """
        conversation, number = key
        if isinstance(number, int):
            return self._add_seq(conversation, number, at)
        if key in self._out_of_order:
            return False
        _put_bounded(self._out_of_order, key, None, self._limit)
        return True

    def mark_received_up_to(self, conversation: str, number: int, at: str = "") -> None:
        """The client has everything of a conversation up to here, perhaps from another socket.

        Args:
            conversation: which one.
            number: the last that it has.
            at: now, as `clock.timestamp`; empty: unknown.
        """
        self._known_to_client.pop(conversation, None)
        _put_bounded(self._known_to_client, conversation, (number, at), self._limit)

    def forget_conversation(self, conversation: str) -> None:
        """A conversation begins anew: none of its numbers has been shown."""
        self._known_to_client.pop(conversation, None)
        self._shown_ranges.pop(conversation, None)
        for key in [key for key in self._out_of_order if key[0] == conversation and isinstance(key[1], int)]:
            del self._out_of_order[key]

    def _add_seq(self, conversation: str, number: int, at: str) -> bool:
        if (conversation, number) in self._out_of_order or self._is_known(conversation, number):
            if not self._is_newer(conversation, at):
                return False
            self.forget_conversation(conversation)
        first, last, youngest = self._shown_ranges.get(conversation, (number, number - 1, ""))
        if number == last + 1:
            last = self._extend_range(conversation, number)
        else:
            _put_bounded(self._out_of_order, (conversation, number), None, self._limit)
        _put_bounded(self._shown_ranges, conversation, (first, last, max(youngest, at)), self._limit)
        return True

    def _is_known(self, conversation: str, number: int) -> bool:
        had, _ = self._known_to_client.get(conversation, (0, ""))
        first, last, _ = self._shown_ranges.get(conversation, (1, 0, ""))
        return number <= had or first <= number <= last

    def _is_newer(self, conversation: str, at: str) -> bool:
        """Whether it was made after all that was shown and all that the client had, if that is known."""
        _, since = self._known_to_client.get(conversation, (0, ""))
        *_, youngest = self._shown_ranges.get(conversation, (0, 0, ""))
        known = max(since, youngest)
        return bool(known) and at > known

    def _extend_range(self, conversation: str, number: int) -> int:
        """The last of those that came before their turn and follow a number; they are no others any more."""
        while (conversation, number + 1) in self._out_of_order:
            number += 1
            del self._out_of_order[conversation, number]
        return number


def _put_bounded(memory: dict[Any, Any], key: object, value: object, limit: int) -> None:
    """Remember; of a full memory, the oldest entry makes room."""
    if key not in memory and len(memory) >= limit:
        del memory[next(iter(memory))]
    memory[key] = value
