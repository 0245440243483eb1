"""The audit log: what operators did, when, why, to which messages, and the state before and after."""

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from msgctl.domain.errors import NotFound
from msgctl.domain.messages import WireStruct
from msgctl.operations.context import Operation
from msgctl.storage.redis import keys

MAX_AUDIT_ENTRIES = 10_000
"""Actions that are kept, approximately."""
MAX_IDS_PER_ENTRY = 1000
"""Ids that an entry names at most. The count covers all of them."""

StreamEntries = list[tuple[str, Mapping[str, str]]]


class AuditEntry(WireStruct, kw_only=True, frozen=True):
    """One action of an operator."""

    entry: str
    """The id of the entry."""
    at: int
    """Unix milliseconds."""
    who: str
    act: str
    """Noun and verb, as they were typed."""
    reason: str
    query: dict[str, Any]
    """The query that selected the messages, if there was one."""
    ids: list[str]
    count: int
    """The number of messages that it changed. `ids` may name fewer."""
    before: Any
    after: Any


class AuditLog(Operation):
    """Writes and reads the audit log."""

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
        """Record an action and return the id of its entry.

        Args:
            act: noun and verb.
            who: the operator.
            reason: the reason that the operator gave.
            query: the query that selected the messages.
            ids: the ids of what was changed.
            before: the previous state.
            after: the new state.
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
        """Return the newest actions, newest first."""
        found = cast("StreamEntries", await self._redis.xrevrange(keys.JOURNAL, count=limit))
        return [_decode_entry(entry, fields) for entry, fields in found]

    async def find(self, entry: str) -> AuditEntry:
        """Return one action.

        Raises:
            NotFound: there is no such entry.
        """
        stream_id = entry if entry.partition("-")[0].isdecimal() else "0-1"  # an id that no entry has
        found = cast("StreamEntries", await self._redis.xrange(keys.JOURNAL, stream_id, stream_id))
        if not found:
            raise NotFound("The journal has no such entry. See: msgctl journal list")
        return _decode_entry(entry, found[0][1])


def operator_name() -> str:
    """Return `user@host`. Under sudo it is the user who called sudo."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _decode_entry(entry: str, fields: Mapping[str, str]) -> AuditEntry:
    body = msgspec.json.decode(fields["act"])
    return msgspec.convert({"entry": entry, "at": int(entry.partition("-")[0]), **body}, AuditEntry)
