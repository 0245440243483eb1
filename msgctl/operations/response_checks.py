"""Verification of responses: one for each message (I2), and in the order of their conversation (I3)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.operations.findings import Suspect, suspect
from msgctl.redisdb.client import RedisClient

BATCH = 200
"""Entries of the stream read in one call."""
OVER = {"SENT", "KEPT", "FAILED", "UNKNOWN"}
TWICE = "it has two committed responses"


class Carried(msgspec.Struct, rename="camel", frozen=True):
    """What counts here of a response."""

    message_id: str
    conversation_id: str
    channel: str
    seq: int | None = None
    stream_id: str | None = None


_decoder = msgspec.json.Decoder(Carried)


class Stream:
    """The durable stream carries at most one response of ours for each message, each conversation's in order.

    A postponed delivery comes back as a new entry; it is the same response, by the id of the entry that first
    carried it.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    def concerns(self, key: str) -> bool:
        """The stream."""
        return key == contracts.RESPONSES

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """Read it from end to end."""
        found: list[Suspect] = []
        origins: dict[str, str] = {}
        last: dict[str, tuple[tuple[int, int], int]] = {}
        async for entry_id, carried, seq in self._responses(keys[0]):
            origin, message_id = carried.stream_id or entry_id, carried.message_id
            if origins.setdefault(message_id, origin) != origin and self._is_one_life(origins[message_id], origin):
                found.append(suspect(contracts.RESPONSES, "I2", message_id, TWICE))
            if origin != entry_id:
                continue  # it came back
            place, before = last.get(carried.conversation_id, ((0, 0), 0))
            if seq == 1 and _place(origin)[0] - place[0] >= self._settings.history.ttl * 1000:
                before = 0  # the conversation was forgotten, and began anew
            if seq <= before:
                found.append(suspect(contracts.RESPONSES, "I3", carried.conversation_id, _disorder(before, seq)))
            last[carried.conversation_id] = (_place(origin), seq)
        return found

    def _is_one_life(self, one: str, other: str) -> bool:
        """Whether both were committed within the time for which an id stands for one message."""
        return abs(_place(one)[0] - _place(other)[0]) < self._settings.retention.identity * 1000

    async def _responses(self, key: str) -> AsyncIterator[tuple[str, Carried, int]]:
        start = "-"
        while True:
            entries: Any = await self._redis.xrange(key, start, count=BATCH)
            for entry_id, fields in entries:
                carried = _read(fields.get("body", "")) if fields.get("kind") == "response" else None
                if carried is not None and carried.seq is not None:
                    yield entry_id, carried, carried.seq
            if len(entries) < BATCH:
                return
            start = "(" + entries[-1][0]


class Conversations:
    """Each conversation's kept responses are numbered without a gap, one a message, and delivered in order."""

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    def concerns(self, key: str) -> bool:
        """Kept responses."""
        return key.startswith(contracts.REPLIES)

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """What is wrong in these conversations."""
        found: list[Suspect] = []
        for key in keys:
            stored: Any = await self._redis.zrange(key, 0, -1, withscores=True)
            replies = [(int(score), carried) for body, score in stored if (carried := _read(body))]
            records = await self._records([carried.message_id for _, carried in replies])
            found += _faults(key, replies, records)
        return found

    async def _records(self, message_ids: Sequence[str]) -> list[Mapping[str, str]]:
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.hmget(contracts.DELIVERY + message_id, "state", "createdAt", "sendingAt", "retriedAt")
        answers = await pipeline.execute() if message_ids else []
        return [
            dict(zip(("state", "createdAt", "sendingAt", "retriedAt"), answer, strict=True)) for answer in answers
        ]


def _faults(
    key: str, replies: Sequence[tuple[int, Carried]], records: Sequence[Mapping[str, str]]
) -> list[Suspect]:
    conversation = key.removeprefix(contracts.REPLIES)
    found: list[Suspect] = []
    seen: set[str] = set()
    for seq, carried in replies:
        if carried.message_id in seen:
            found.append(suspect(key, "I2", carried.message_id, TWICE))
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
            if _overtook(record, after, "sendingAt" if phone else "createdAt"):
                found.append(suspect(key, "I3", conversation, _disorder(seq, following, "before")))
    return found


def _overtook(record: Mapping[str, str], after: Mapping[str, str], clock: str) -> bool:
    """Whether the later of two responses was delivered while the earlier was not over, or before it."""
    if after["state"] not in OVER or not record["state"] or record["retriedAt"]:
        return False
    if record["state"] not in OVER:
        return True
    return bool(record[clock] and after[clock]) and int(after[clock]) < int(record[clock])


def _disorder(seq: int, following: int, how: str = "after") -> str:
    return f"number {following} was handed on {how} number {seq}"


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, number = entry_id.split("-")
    return int(milliseconds), int(number)


def _read(body: str) -> Carried | None:
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None
