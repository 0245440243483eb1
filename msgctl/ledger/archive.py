"""The ledger in PostgreSQL: all events of the days that are kept, and the messages that have not ended."""

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
"""Rows read in one query."""


class UnfinishedMessage(msgspec.Struct, frozen=True):
    """A message that was accepted and has not ended."""

    message_id: str
    at: datetime
    seq: int
    digest: str
    body: str
    doubtful: bool
    """Whether its reply was being sent where a second send would be seen."""


class LedgerArchive:
    """Reads what the projector wrote.

    Args:
        database: an open one.

    Each method raises PostgresUnavailable when PostgreSQL does not answer, and ConfigurationError when it lacks
    the tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_position(self) -> str:
        """The entry of the stream up to which events are here."""
        rows = await self._query(POSITION_SQL, {})
        return str(rows[0]["entry"]) if rows else "0-0"

    async def read_message(self, message_id: str) -> list[Event]:
        """The events of a message, oldest first."""
        return [_to_event(row) for row in await self._query(EVENTS_OF_MESSAGE_SQL, {"id": message_id})]

    async def read_conversation(self, conversation_id: str) -> list[Event]:
        """The events of every message of a conversation, oldest first."""
        return [_to_event(row) for row in await self._query(EVENTS_OF_CONVERSATION_SQL, {"id": conversation_id})]

    async def find_known(self, message_ids: Sequence[str]) -> set[str]:
        """Those of some messages that have events here."""
        rows = await self._query(KNOWN_MESSAGES_SQL, {"ids": list(message_ids)})
        return {row["message_id"] for row in rows}

    async def iter_states(self) -> AsyncIterator[dict[str, tuple[EventState, datetime]]]:
        """The state of each message and since when, in batches."""
        after, whats = "", list(STATE_AFTER_EVENT)
        while rows := await self._query(STATES_SQL, {"whats": whats, "after": after, "most": ARCHIVE_READ_COUNT}):
            yield {row["message_id"]: (STATE_AFTER_EVENT[row["what"]], row["at"]) for row in rows}
            after = rows[-1]["message_id"]

    async def iter_unfinished(self) -> AsyncIterator[list[UnfinishedMessage]]:
        """The messages that have not ended, in the order of acceptance, in batches."""
        at, seq = EPOCH, 0
        while rows := await self._query(UNFINISHED_SQL, {"at": at, "seq": seq, "most": ARCHIVE_READ_COUNT}):
            yield [UnfinishedMessage(**row) for row in rows]
            at, seq = rows[-1]["at"], rows[-1]["seq"]

    async def _query(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return await fetch_rows(connection, query, values)


async def fetch_rows(connection: PostgresConnection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
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


def _to_event(row: dict[str, Any]) -> Event:
    return Event(
        entry=format_entry_id(row["at"], row["seq"]),
        message_id=row["message_id"],
        what=row["what"],
        actor=row["actor"],
        conversation_id=row["conversation_id"],
        evidence=row["evidence"],
    )
