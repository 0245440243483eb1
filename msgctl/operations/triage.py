"""The dead letters by what went wrong: one group a signature, which is the error without its particulars."""

import re
from typing import Any

import msgspec
from redis.asyncio import Redis

from msgctl import contracts
from msgctl.config import Settings
from msgctl.messages import Record
from msgctl.redisdb import unavailable_as_error
from msgctl.rqueue import Queue

WINDOW = 800
"""Dead letters that one look groups, the newest."""
FIELDS = (
    contracts.FIELD_ERROR,
    contracts.FIELD_FINISHED,
    contracts.FIELD_CHANNEL,
    contracts.FIELD_USER,
    contracts.FIELD_ATTEMPTS,
)
FOLDS = (
    ("://", re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "URL"),
    ("-", re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    ("", re.compile(r"\b(?=\w*\d)[\w-]{12,}\b"), "ID"),
    ("", re.compile(r"\b\d+(?:[.,]\d+)*\b"), "N"),
)
"""What to look for first, since that is quick, then the particulars themselves, and what stands for them."""


class Letter(Record, kw_only=True, frozen=True):
    """One dead letter."""

    message_id: str
    signature: str
    code: str
    text: str
    channel: str
    user_id: str
    attempts: int
    at: int
    """Unix milliseconds of its end."""


class Group(Record, kw_only=True, frozen=True):
    """Dead letters that failed alike, newest first."""

    signature: str
    letters: list[Letter]


class Groups(Record, kw_only=True, frozen=True):
    """What was found, and how far was looked."""

    groups: list[Group]
    """The largest first."""
    looked_at: int
    total: int


class Triage:
    """Groups the newest dead letters; keep one for as long as you look, since it reads each of them once.

    Args:
        settings: names Redis in errors.
        redis: a client of `redisdb.connect`.
        queue: on the same client.
    """

    def __init__(self, settings: Settings, redis: Redis, queue: Queue) -> None:
        self._settings = settings
        self._redis = redis
        self._queue = queue
        self._known: dict[str, Letter] = {}

    async def look(self, window: int = WINDOW) -> Groups:
        """Group the newest `window` dead letters.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        total = (await self._queue.stats()).failed
        ids = await self._queue.failed_ids(window)
        await self._learn([message_id for message_id in ids if message_id not in self._known])
        self._known = {message_id: self._known[message_id] for message_id in ids if message_id in self._known}
        by_signature: dict[str, list[Letter]] = {}
        for letter in self._known.values():
            by_signature.setdefault(letter.signature, []).append(letter)
        groups = [Group(signature=signature, letters=letters) for signature, letters in by_signature.items()]
        groups.sort(key=lambda group: (-len(group.letters), group.signature))
        return Groups(groups=groups, looked_at=len(ids), total=total)

    def forget(self, message_id: str) -> None:
        """Read this one anew next time: it was replayed and may come back with another error."""
        self._known.pop(message_id, None)

    async def _learn(self, ids: list[str]) -> None:
        pipeline: Any = self._redis.pipeline(transaction=False)
        for message_id in ids:
            pipeline.hmget(contracts.job_key(message_id), FIELDS)
        with unavailable_as_error(self._settings):
            rows = await pipeline.execute() if ids else []
        for message_id, row in zip(ids, rows, strict=True):
            if any(row):
                self._known[message_id] = _letter(message_id, row)


def fold(text: str) -> str:
    """A text with its particulars taken out: addresses, ids and numbers become URL, ID and N."""
    for mark, pattern, name in FOLDS:
        if mark in text:
            text = pattern.sub(name, text)
    return text


def _letter(message_id: str, row: list[str | None]) -> Letter:
    error, finished, channel, user, attempts = row
    code, text = _read_error(error)
    return Letter(
        message_id=message_id,
        signature=f"{code}: {fold(text)}",
        code=code,
        text=text,
        channel=channel or "",
        user_id=user or "",
        attempts=int(attempts or 0),
        at=int(finished or 0),
    )


def _read_error(error: str | None) -> tuple[str, str]:
    try:
        found = msgspec.json.decode(error or "{}")
    except msgspec.MsgspecError:
        found = {}
    return str(found.get("code", "unknown")), str(found.get("text", ""))
