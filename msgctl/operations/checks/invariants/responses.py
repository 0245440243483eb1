"""Verification of responses: one for each message (I2), and in the order of their conversation (I3)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from msgctl.config.settings import Settings
from msgctl.operations.checks.findings import Suspect, suspect
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

STREAM_READ_BATCH_SIZE = 200
"""Entries of the stream read in one call."""
ENDED_DELIVERY_STATES = {"SENT", "KEPT", "FAILED", "UNKNOWN"}
ANSWERED_TWICE = "it has two committed responses"


class CarriedResponse(msgspec.Struct, rename="camel", frozen=True):
    """What counts here of a response."""

    message_id: str
    conversation_id: str
    channel: str
    seq: int | None = None
    stream_id: str | None = None


_carried_decoder = msgspec.json.Decoder(CarriedResponse)


class ResponseStreamCheck:
    """The durable stream carries at most one response of ours for each message, each conversation's in order.

    A postponed delivery comes back as a new entry; it is the same response, by the id of the entry that first
    carried it.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    def applies_to(self, key: str) -> bool:
        """The stream."""
        return key == keys.RESPONSES

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Read it from end to end."""
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
                continue  # it came back
            place, before = last.get(carried.conversation_id, ((0, 0), 0))
            if seq == 1 and _entry_order(origin)[0] - place[0] >= self._settings.history.ttl * 1000:
                before = 0  # the conversation was forgotten, and began anew
            if seq <= before:
                found.append(suspect(keys.RESPONSES, "I3", carried.conversation_id, _disorder_text(before, seq)))
            last[carried.conversation_id] = (_entry_order(origin), seq)
        return found

    def _is_same_identity(self, one: str, other: str) -> bool:
        """Whether both were committed within the time for which an id stands for one message."""
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


class ConversationCheck:
    """Each conversation's kept responses are numbered without a gap, one a message, and delivered in order."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    def applies_to(self, key: str) -> bool:
        """Kept responses."""
        return key.startswith(keys.REPLIES)

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """What is wrong in these conversations."""
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
    told = [(seq, carried.channel, record) for (seq, carried), record in zip(replies, records, strict=True)]
    for phone in (False, True):
        ours = [(seq, record) for seq, channel, record in told if (channel != "web") is phone]
        for (seq, record), (following, after) in pairwise(ours):
            if _was_overtaken(record, after, "sendingAt" if phone else "createdAt"):
                found.append(suspect(key, "I3", conversation, _disorder_text(seq, following, "before")))
    return found


def _was_overtaken(record: Mapping[str, str], after: Mapping[str, str], clock: str) -> bool:
    """Whether the later of two responses was delivered while the earlier was not over, or before it."""
    if after["state"] not in ENDED_DELIVERY_STATES or not record["state"] or record["retriedAt"]:
        return False
    if record["state"] not in ENDED_DELIVERY_STATES:
        return True
    return bool(record[clock] and after[clock]) and int(after[clock]) < int(record[clock])


def _disorder_text(seq: int, following: int, how: str = "after") -> str:
    return f"number {following} was handed on {how} number {seq}"


def _entry_order(entry_id: str) -> tuple[int, int]:
    milliseconds, number = entry_id.split("-")
    return int(milliseconds), int(number)


def _decode(body: str) -> CarriedResponse | None:
    try:
        return _carried_decoder.decode(body)
    except msgspec.MsgspecError:
        return None
