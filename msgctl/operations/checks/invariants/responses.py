"""Verification of responses: each message has one (I2), and those of a conversation are in order (I3)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from msgctl.operations.checks.invariants.check import InvariantCheck, Suspect, suspect
from msgctl.storage.redis import keys

STREAM_READ_BATCH_SIZE = 200
"""Entries of the stream read in one call."""
ENDED_DELIVERY_STATES = {"SENT", "KEPT", "FAILED", "UNKNOWN"}
ANSWERED_TWICE = "it has two committed responses"


class CarriedResponse(msgspec.Struct, rename="camel", frozen=True):
    """The fields of a response that the checks need."""

    message_id: str
    conversation_id: str
    channel: str
    seq: int | None = None
    stream_id: str | None = None


_carried_decoder = msgspec.json.Decoder(CarriedResponse)


class ResponseStreamCheck(InvariantCheck):
    """The response stream has at most one response per message, and those of a conversation are in order.

    A postponed delivery comes back as a new entry. It is the same response, because it names the entry that first
    carried it.
    """

    def applies_to(self, key: str) -> bool:
        """Return whether it is the response stream."""
        return key == keys.RESPONSES

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Read the stream from its beginning to its end, and return its faults."""
        found: list[Suspect] = []
        origins: dict[str, str] = {}
        last: dict[str, tuple[tuple[int, int], int]] = {}
        async for entry_id, carried, seq in self._responses(key_names[0]):
            origin, message_id = carried.stream_id or entry_id, carried.message_id
            if origins.setdefault(message_id, origin) != origin and self._is_same_identity(
                origins[message_id], origin
            ):
                found.append(suspect(keys.RESPONSES, "I2", message_id, ANSWERED_TWICE))
            if origin != entry_id:
                continue  # a postponed delivery that came back
            previous, before = last.get(carried.conversation_id, ((0, 0), 0))
            if seq == 1 and _entry_order(origin)[0] - previous[0] >= self._settings.history.ttl * 1000:
                before = 0  # the conversation had expired and began again
            if seq <= before:
                found.append(suspect(keys.RESPONSES, "I3", carried.conversation_id, _disorder_text(before, seq)))
            last[carried.conversation_id] = (_entry_order(origin), seq)
        return found

    def _is_same_identity(self, one: str, other: str) -> bool:
        """Return whether both were committed within the time for which an id belongs to one message."""
        return abs(_entry_order(one)[0] - _entry_order(other)[0]) < self._settings.retention.identity * 1000

    async def _responses(self, key: str) -> AsyncIterator[tuple[str, CarriedResponse, int]]:
        start = "-"
        while True:
            entries: Any = await self._redis.xrange(key, start, count=STREAM_READ_BATCH_SIZE)
            for entry_id, fields in entries:
                carried = _decode(fields.get("body", "")) if fields.get("kind") == "response" else None
                if carried is not None and carried.seq is not None:
                    yield entry_id, carried, carried.seq
            if len(entries) < STREAM_READ_BATCH_SIZE:
                return
            start = "(" + entries[-1][0]


class ConversationCheck(InvariantCheck):
    """The kept responses of a conversation have no gap, answer different messages, and are delivered in order."""

    def applies_to(self, key: str) -> bool:
        """Return whether it holds the kept responses of a conversation."""
        return key.startswith(keys.REPLIES)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the faults of these conversations."""
        found: list[Suspect] = []
        for key in key_names:
            stored: Any = await self._redis.zrange(key, 0, -1, withscores=True)
            replies = [(int(score), carried) for body, score in stored if (carried := _decode(body))]
            records = await self._records([carried.message_id for _, carried in replies])
            found += _find_faults(key, replies, records)
        return found

    async def _records(self, message_ids: Sequence[str]) -> list[Mapping[str, str]]:
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.hmget(keys.DELIVERY + message_id, "state", "createdAt", "sendingAt", "retriedAt")
        answers = await pipeline.execute() if message_ids else []
        return [
            dict(zip(("state", "createdAt", "sendingAt", "retriedAt"), answer, strict=True)) for answer in answers
        ]


def _find_faults(
    key: str, replies: Sequence[tuple[int, CarriedResponse]], records: Sequence[Mapping[str, str]]
) -> list[Suspect]:
    conversation = key.removeprefix(keys.REPLIES)
    found: list[Suspect] = []
    seen: set[str] = set()
    for seq, carried in replies:
        if carried.message_id in seen:
            found.append(suspect(key, "I2", carried.message_id, ANSWERED_TWICE))
        if carried.seq != seq:
            found.append(suspect(key, "I3", conversation, f"number {seq} says that it is {carried.seq}"))
        seen.add(carried.message_id)
    for (seq, _), (following, _) in pairwise(replies):
        if following != seq + 1:
            found.append(suspect(key, "I3", conversation, f"number {following} follows number {seq}"))
    deliveries = [(seq, carried.channel, record) for (seq, carried), record in zip(replies, records, strict=True)]
    for phone in (False, True):
        same_kind = [(seq, record) for seq, channel, record in deliveries if (channel != "web") is phone]
        for (seq, record), (following, after) in pairwise(same_kind):
            if _was_overtaken(record, after, "sendingAt" if phone else "createdAt"):
                found.append(suspect(key, "I3", conversation, _disorder_text(seq, following, "before")))
    return found


def _was_overtaken(record: Mapping[str, str], after: Mapping[str, str], clock: str) -> bool:
    """Return whether the later of two responses was delivered before the earlier one, or before it ended."""
    if after["state"] not in ENDED_DELIVERY_STATES or not record["state"] or record["retriedAt"]:
        return False
    if record["state"] not in ENDED_DELIVERY_STATES:
        return True
    return bool(record[clock] and after[clock]) and int(after[clock]) < int(record[clock])


def _disorder_text(seq: int, following: int, relation: str = "after") -> str:
    return f"number {following} was delivered {relation} number {seq}"


def _entry_order(entry_id: str) -> tuple[int, int]:
    milliseconds, number = entry_id.split("-")
    return int(milliseconds), int(number)


def _decode(body: str) -> CarriedResponse | None:
    try:
        return _carried_decoder.decode(body)
    except msgspec.MsgspecError:
        return None
