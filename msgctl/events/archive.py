"""The ledger in PostgreSQL: all events of the days that are kept, and the messages that have not ended."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from msgctl.errors import ConfigurationError
from msgctl.events.event import EPOCH, LEADS_TO, Event, EventState, entry_of
from msgctl.postgres.database import Connection, Database

POSITION = "SELECT entry FROM message_events_position"
OF_MESSAGE = """
    SELECT at, seq, message_id, conversation_id, what, actor, evidence FROM message_events
    WHERE message_id = %(id)s ORDER BY at, seq
"""
OF_CONVERSATION = """
    SELECT at, seq, message_id, conversation_id, what, actor, evidence FROM message_events
    WHERE message_id IN (SELECT message_id FROM message_events WHERE conversation_id = %(id)s) ORDER BY at, seq
"""
STATES = """
    SELECT DISTINCT ON (message_id) message_id, what, at FROM message_events
    WHERE what = ANY(%(whats)s) AND message_id > %(after)s
    ORDER BY message_id, at DESC, seq DESC LIMIT %(most)s
"""
UNFINISHED = """
    SELECT message_id, at, seq, digest, body, doubtful FROM unfinished_messages
    WHERE (at, seq) > (%(at)s, %(seq)s) ORDER BY at, seq LIMIT %(most)s
"""
KNOWN = "SELECT DISTINCT message_id FROM message_events WHERE message_id = ANY(%(ids)s)"
SLICE = 1000
"""Rows read in one query."""


class Unfinished(msgspec.Struct, frozen=True):
    """A message that was accepted and has not ended."""

    message_id: str
    at: datetime
    seq: int
    digest: str
    body: str
    doubtful: bool
    """Whether its reply was being sent where a second send would be seen."""


class Archive:
    """Reads what the projector wrote.

    Args:
        database: an open one.

    Each method raises PostgresUnavailable when PostgreSQL does not answer, and ConfigurationError when it lacks
    the tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self) -> str:
        """The entry of the stream up to which events are here."""
        rows = await self._query(POSITION, {})
        return str(rows[0]["entry"]) if rows else "0-0"

    async def of_message(self, message_id: str) -> list[Event]:
        """The events of a message, oldest first."""
        return [_event(row) for row in await self._query(OF_MESSAGE, {"id": message_id})]

    async def of_conversation(self, conversation_id: str) -> list[Event]:
        """The events of every message of a conversation, oldest first."""
        return [_event(row) for row in await self._query(OF_CONVERSATION, {"id": conversation_id})]

    async def known(self, message_ids: Sequence[str]) -> set[str]:
        """Those of some messages that have events here."""
        rows = await self._query(KNOWN, {"ids": list(message_ids)})
        return {row["message_id"] for row in rows}

    async def states(self) -> AsyncIterator[dict[str, tuple[EventState, datetime]]]:
        """The state of each message and since when, in batches."""
        after, whats = "", list(LEADS_TO)
        while rows := await self._query(STATES, {"whats": whats, "after": after, "most": SLICE}):
            yield {row["message_id"]: (LEADS_TO[row["what"]], row["at"]) for row in rows}
            after = rows[-1]["message_id"]

    async def unfinished(self) -> AsyncIterator[list[Unfinished]]:
        """The messages that have not ended, in the order of acceptance, in batches."""
        at, seq = EPOCH, 0
        while rows := await self._query(UNFINISHED, {"at": at, "seq": seq, "most": SLICE}):
            yield [Unfinished(**row) for row in rows]
            at, seq = rows[-1]["at"], rows[-1]["seq"]

    async def _query(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return await fetch(connection, query, values)


async def fetch(connection: Connection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a query on the ledger's tables.

    Raises:
        ConfigurationError: the tables are not there.
    """
    try:
        return await (await connection.execute(query.encode(), values)).fetchall()
    except psycopg.errors.UndefinedTable:
        raise ConfigurationError(
            "PostgreSQL lacks the tables of the ledger. Make them: msgctl db migrate"
        ) from None


def _event(row: dict[str, Any]) -> Event:
    return Event(
        entry=entry_of(row["at"], row["seq"]),
        message_id=row["message_id"],
        what=row["what"],
        actor=row["actor"],
        conversation_id=row["conversation_id"],
        evidence=row["evidence"],
    )
