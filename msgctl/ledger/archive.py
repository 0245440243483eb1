"""The ledger in PostgreSQL: the events of all days within the retention, and the messages that have not ended."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from msgctl.domain.errors import ConfigurationError
from msgctl.ledger.event import EPOCH, STATE_AFTER_EVENT, Event, EventState, format_entry_id
from msgctl.storage.postgres.database import Database, PostgresConnection

POSITION_SQL = "SELECT entry FROM message_events_position"
EVENTS_OF_MESSAGE_SQL = """
    SELECT at, seq, message_id, conversation_id, what, actor, evidence FROM message_events
    WHERE message_id = %(id)s ORDER BY at, seq
"""
EVENTS_OF_CONVERSATION_SQL = """
    SELECT at, seq, message_id, conversation_id, what, actor, evidence FROM message_events
    WHERE message_id IN (SELECT message_id FROM message_events WHERE conversation_id = %(id)s) ORDER BY at, seq
"""
STATES_SQL = """
    SELECT DISTINCT ON (message_id) message_id, what, at FROM message_events
    WHERE what = ANY(%(whats)s) AND message_id > %(after)s
    ORDER BY message_id, at DESC, seq DESC LIMIT %(most)s
"""
UNFINISHED_SQL = """
    SELECT message_id, at, seq, digest, body, doubtful FROM unfinished_messages
    WHERE (at, seq) > (%(at)s, %(seq)s) ORDER BY at, seq LIMIT %(most)s
"""
KNOWN_MESSAGES_SQL = "SELECT DISTINCT message_id FROM message_events WHERE message_id = ANY(%(ids)s)"
ARCHIVE_READ_COUNT = 1000
"""Rows that one query reads."""


class UnfinishedMessage(msgspec.Struct, frozen=True):
    """A message that was accepted and has not ended."""

    message_id: str
    at: datetime
    seq: int
    digest: str
    body: str
    doubtful: bool
    """Whether the outcome of its delivery is unknown and a second send could reach the customer twice."""


class LedgerArchive:
    """Reads the ledger from PostgreSQL.

    Args:
        database: an open database.

    Each method raises PostgresUnavailable when PostgreSQL does not answer, and ConfigurationError when the tables
    are missing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_position(self) -> str:
        """Return the stream entry up to which PostgreSQL has the events."""
        rows = await self._query(POSITION_SQL, {})
        return str(rows[0]["entry"]) if rows else "0-0"

    async def read_message(self, message_id: str) -> list[Event]:
        """Return the events of a message, oldest first."""
        return [_to_event(row) for row in await self._query(EVENTS_OF_MESSAGE_SQL, {"id": message_id})]

    async def read_conversation(self, conversation_id: str) -> list[Event]:
        """Return the events of all messages of a conversation, oldest first."""
        return [_to_event(row) for row in await self._query(EVENTS_OF_CONVERSATION_SQL, {"id": conversation_id})]

    async def find_known(self, message_ids: Sequence[str]) -> set[str]:
        """Return those messages that have events in PostgreSQL."""
        rows = await self._query(KNOWN_MESSAGES_SQL, {"ids": list(message_ids)})
        return {row["message_id"] for row in rows}

    async def iter_states(self) -> AsyncIterator[dict[str, tuple[EventState, datetime]]]:
        """Yield the state of each message and its time, in batches."""
        after, whats = "", list(STATE_AFTER_EVENT)
        while rows := await self._query(STATES_SQL, {"whats": whats, "after": after, "most": ARCHIVE_READ_COUNT}):
            yield {row["message_id"]: (STATE_AFTER_EVENT[row["what"]], row["at"]) for row in rows}
            after = rows[-1]["message_id"]

    async def iter_unfinished(self) -> AsyncIterator[list[UnfinishedMessage]]:
        """Yield the messages that have not ended, in the order of acceptance, in batches."""
        at, seq = EPOCH, 0
        while rows := await self._query(UNFINISHED_SQL, {"at": at, "seq": seq, "most": ARCHIVE_READ_COUNT}):
            yield [UnfinishedMessage(**row) for row in rows]
            at, seq = rows[-1]["at"], rows[-1]["seq"]

    async def _query(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return await fetch_rows(connection, query, values)


async def fetch_rows(connection: PostgresConnection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a query on the tables of the ledger.

    Raises:
        ConfigurationError: the tables are missing.
    """
    try:
        return await (await connection.execute(query.encode(), values)).fetchall()
    except psycopg.errors.UndefinedTable:
        raise ConfigurationError(
            "PostgreSQL has no tables of the ledger. Create them: msgctl db migrate"
        ) from None


def _to_event(row: dict[str, Any]) -> Event:
    return Event(
        entry=format_entry_id(row["at"], row["seq"]),
        message_id=row["message_id"],
        what=row["what"],
        actor=row["actor"],
        conversation_id=row["conversation_id"],
        evidence=row["evidence"],
    )
