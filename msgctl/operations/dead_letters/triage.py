"""The dead letters by what went wrong: one group a signature, which is the error without its particulars."""

import re
from typing import Any

import msgspec

from msgctl.domain.messages import WireStruct
from msgctl.operations.context import Context
from msgctl.storage.redis import keys

GROUPING_WINDOW = 800
"""Dead letters that one look groups, the newest."""
DEAD_LETTER_FIELDS = (
    keys.FIELD_ERROR,
    keys.FIELD_FINISHED,
    keys.FIELD_CHANNEL,
    keys.FIELD_USER,
    keys.FIELD_ATTEMPTS,
)
FOLD_PATTERNS = (
    ("://", re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "URL"),
    ("-", re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    ("", re.compile(r"\b(?=\w*\d)[\w-]{12,}\b"), "ID"),
    ("", re.compile(r"(?<!\bHTTP )\b\d+(?:[.,]\d+)*\b"), "N"),
)
"""What to look for first, since that is quick, then the particulars themselves, and what stands for them.
The status of HTTP is none of them: 404 and 500 are two troubles."""


class Letter(WireStruct, kw_only=True, frozen=True):
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


class Group(WireStruct, kw_only=True, frozen=True):
    """Dead letters that failed alike, newest first."""

    signature: str
    letters: list[Letter]


class Groups(WireStruct, kw_only=True, frozen=True):
    """What was found, and how far was looked."""

    groups: list[Group]
    """The largest first."""
    looked_at: int
    total: int


DeadLetterEntry = tuple[str, float]
"""A dead letter's id, and the second it is forgotten: one that failed anew has another."""


class Triage:
    """Groups the newest dead letters; keep one for as long as you look, since it reads each of them once.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._known: dict[DeadLetterEntry, Letter] = {}
        self._last_fingerprint: list[Any] = []
        """How many each registry held and which was its newest, when the groups were made."""
        self._groups: Groups | None = None

    async def group_newest(self, window: int = GROUPING_WINDOW) -> Groups:
        """Group the newest `window` dead letters.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        seen = [window, *await self._fingerprint()]
        if self._groups is None or seen != self._last_fingerprint:
            self._groups, self._last_fingerprint = await self._group(window, total=sum(seen[1::2])), seen
        return self._groups

    def forget(self, message_id: str) -> None:
        """Read this one anew next time: it was replayed and may come back with another error."""
        self._groups = None
        self._known = {entry: letter for entry, letter in self._known.items() if entry[0] != message_id}

    async def _fingerprint(self) -> list[Any]:
        """What changes whenever a dead letter comes or goes, at a few microseconds."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.zcard(keys.RQ_FAILED + queue)
            pipeline.zrange(keys.RQ_FAILED + queue, 0, 0, desc=True, withscores=True)
        return await pipeline.execute()

    async def _group(self, window: int, *, total: int) -> Groups:
        entries = await self._newest(window)
        await self._load([entry for entry in entries if entry not in self._known])
        self._known = {entry: self._known[entry] for entry in entries if entry in self._known}
        by_signature: dict[str, list[Letter]] = {}
        for letter in self._known.values():
            by_signature.setdefault(letter.signature, []).append(letter)
        groups = [Group(signature=signature, letters=letters) for signature, letters in by_signature.items()]
        groups.sort(key=lambda group: (-len(group.letters), group.signature))
        return Groups(groups=groups, looked_at=len(entries), total=total)

    async def _newest(self, window: int) -> list[DeadLetterEntry]:
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.zrange(keys.RQ_FAILED + queue, 0, window - 1, desc=True, withscores=True)
        found: list[DeadLetterEntry] = [
            (name, score) for entries in await pipeline.execute() for name, score in entries
        ]
        return sorted(found, key=lambda entry: -entry[1])[:window]

    async def _load(self, entries: list[DeadLetterEntry]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for message_id, _ in entries:
            pipeline.hmget(keys.job_key(message_id), DEAD_LETTER_FIELDS)
        rows = await pipeline.execute() if entries else []
        for entry, row in zip(entries, rows, strict=True):
            if any(row):
                self._known[entry] = _make_letter(entry[0], row)


def fold_particulars(text: str) -> str:
    """A text with its particulars taken out: addresses, ids and numbers become URL, ID and N; a status stays."""
    for mark, pattern, name in FOLD_PATTERNS:
        if mark in text:
            text = pattern.sub(name, text)
    return text


def _make_letter(message_id: str, row: list[str | None]) -> Letter:
    error, finished, channel, user, attempts = row
    code, text = _read_error(error)
    return Letter(
        message_id=message_id,
        signature=f"{code}: {fold_particulars(text)}",
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
