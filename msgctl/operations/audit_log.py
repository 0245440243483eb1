"""The journal of operators' acts: who did what, when, why, to which messages, and what it was before and after."""

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from msgctl.domain.errors import NotFound
from msgctl.domain.messages import WireStruct
from msgctl.operations.context import Context
from msgctl.storage.redis import keys

MAX_AUDIT_ENTRIES = 10_000
"""Acts that are kept, about."""
MAX_IDS_PER_ENTRY = 1000
"""Ids an act names; of more it keeps the number."""

StreamEntries = list[tuple[str, Mapping[str, str]]]


class AuditEntry(WireStruct, kw_only=True, frozen=True):
    """One act."""

    entry: str
    """Its number in the journal."""
    at: int
    """Unix milliseconds."""
    who: str
    act: str
    """Noun and verb, as they were typed."""
    reason: str
    query: dict[str, Any]
    """What was asked for, where it was a query."""
    ids: list[str]
    count: int
    """How many it changed; `ids` may name fewer."""
    before: Any
    after: Any


class AuditLog:
    """Writes and reads it.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis

    async def record(
        self,
        act: str,
        *,
        who: str,
        reason: str = "",
        query: Mapping[str, Any] | None = None,
        ids: Sequence[str] = (),
        before: Any = None,
        after: Any = None,
    ) -> str:
        """Write an act down and return the number of its entry.

        Args:
            act: noun and verb.
            who: the operator.
            reason: as the operator gave it.
            query: what was asked for.
            ids: what was changed.
            before: what it was.
            after: what it is now.
        """
        body = {
            "who": who,
            "act": act,
            "reason": reason,
            "query": dict(query or {}),
            "ids": list(ids[:MAX_IDS_PER_ENTRY]),
            "count": len(ids),
            "before": before,
            "after": after,
        }
        entry = await self._redis.xadd(
            keys.JOURNAL, {"act": msgspec.json.encode(body).decode()}, maxlen=MAX_AUDIT_ENTRIES
        )
        return str(entry)

    async def newest(self, limit: int) -> list[AuditEntry]:
        """The newest acts, newest first."""
        found = cast("StreamEntries", await self._redis.xrevrange(keys.JOURNAL, count=limit))
        return [_decode_entry(entry, fields) for entry, fields in found]

    async def find(self, entry: str) -> AuditEntry:
        """One act.

        Raises:
            NotFound: there is no such entry.
        """
        known = entry if entry.partition("-")[0].isdecimal() else "0-1"
        found = cast("StreamEntries", await self._redis.xrange(keys.JOURNAL, known, known))
        if not found:
            raise NotFound("The journal has no such entry. See: msgctl journal list")
        return _decode_entry(entry, found[0][1])


def operator_name() -> str:
    """`user@host`; behind sudo the one who called it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _decode_entry(entry: str, fields: Mapping[str, str]) -> AuditEntry:
    body = msgspec.json.decode(fields["act"])
    return msgspec.convert({"entry": entry, "at": int(entry.partition("-")[0]), **body}, AuditEntry)
