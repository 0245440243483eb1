"""The projector: it copies the ledger from Redis to PostgreSQL in batches, each in one transaction.

The transaction that writes the events also writes the position. After a crash the projector continues after the
last row and copies no event twice. The row with the position is also the lock: one subscriber projects at a time.
While PostgreSQL is down, the stream keeps the events, up to `events.stream`.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError
from msgctl.ledger.archive import fetch_rows
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.observability import logs
from msgctl.storage.postgres.database import Database, PostgresConnection
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

READ_BODIES = Script.beside(__file__, "read_bodies")
PROJECTION_READ_COUNT = 2000
"""Events that one transaction copies."""
BODIES_READ_COUNT = 200
"""Messages whose text one call reads, so that Redis serves other clients meanwhile."""
LOCK_POSITION_SQL = "SELECT entry FROM message_events_position FOR UPDATE SKIP LOCKED"
COPY_EVENTS_SQL = "COPY message_events (at, seq, message_id, conversation_id, what, actor, evidence) FROM STDIN"
SET_POSITION_SQL = "UPDATE message_events_position SET entry = %(entry)s"
UPSERT_UNFINISHED_SQL = """
    INSERT INTO unfinished_messages (message_id, at, seq, digest, body)
    VALUES (%(message_id)s, %(at)s, %(seq)s, %(digest)s, %(body)s)
    ON CONFLICT (message_id) DO UPDATE SET body = excluded.body, doubtful = false
"""
MARK_DOUBTFUL_SQL = "UPDATE unfinished_messages SET doubtful = true WHERE message_id = ANY(%(ids)s)"
DELETE_ENDED_SQL = "DELETE FROM unfinished_messages WHERE message_id = ANY(%(ids)s)"
DELETE_EXPIRED_SQL = "DELETE FROM unfinished_messages WHERE at < %(before)s"
PARTITION_PREFIX = "message_events_day_"
LIST_PARTITIONS_SQL = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'message\\_events\\_day\\_%'"
)
CLEANUP_INTERVAL_S = 3600.0
"""Seconds between two deletions of expired days."""

log = logs.get_logger(__name__)


class Projector:
    """Copies the ledger, one batch at a time.

    Args:
        redis: a client made by `connect`.
        settings: `events.retention`.
        database: an open database.
    """

    def __init__(self, redis: RedisClient, settings: Settings, database: Database) -> None:
        self._redis = redis
        self._settings = settings
        self._database = database
        self._ledger = Ledger(redis)
        self._partitions = Partitions()
        self._next_cleanup = 0.0
        self._reported_lost = 0

    async def project_batch(self) -> int:
        """Copy the next events and return how many; 0 if there are none or another subscriber is copying.

        Raises:
            RedisUnavailable, PostgresUnavailable: nothing was copied, and nothing is lost.
            ConfigurationError: the tables are missing.
        """
        async with self._database.connection() as connection, connection.transaction():
            rows = await fetch_rows(connection, LOCK_POSITION_SQL, {})
            events = await self._ledger.read_after(rows[0]["entry"], PROJECTION_READ_COUNT) if rows else []
            if events:
                await self._write(connection, events)
        if events:
            await self._report_position(events[-1].entry)
        return len(events)

    async def drop_expired(self) -> None:
        """Drop the days that are older than `events.retention`, at most once an hour.

        Raises:
            PostgresUnavailable: nothing was dropped. The next call tries again.
        """
        if time.monotonic() < self._next_cleanup:
            return
        before = datetime.now(UTC) - timedelta(days=self._settings.events.retention)
        async with self._database.connection() as connection:
            dropped = await self._partitions.drop_before(connection, before.date())
            await connection.execute(DELETE_EXPIRED_SQL.encode(), {"before": before})
        self._next_cleanup = time.monotonic() + CLEANUP_INTERVAL_S
        if dropped:
            log.info("Days of the ledger dropped after their retention", days=dropped)

    async def _write(self, connection: PostgresConnection, events: Sequence[Event]) -> None:
        await self._partitions.ensure(connection, {event.at.date() for event in events})
        try:
            async with connection.cursor().copy(COPY_EVENTS_SQL) as copy:
                for event in events:
                    await copy.write_row(_to_row(event))
        except psycopg.errors.UniqueViolation:
            raise ConfigurationError(
                "PostgreSQL has events that are new in Redis: check that [postgres] url is this pipeline's."
            ) from None
        await self._update_unfinished(connection, events)
        await connection.execute(SET_POSITION_SQL, {"entry": events[-1].entry})

    async def _update_unfinished(self, connection: PostgresConnection, events: Sequence[Event]) -> None:
        """Store the messages that have begun and delete those that have ended."""
        started = {event.message_id: event for event in events if event.what in {"accepted", "replayed"}}
        unknown, ended = set(), set()
        for event in events:
            if event.is_terminal:
                ended.add(event.message_id)
            elif event.what == "replayed":
                ended.discard(event.message_id)
            elif event.what == "sending" and event.evidence.get("repeatable") == "0":
                unknown.add(event.message_id)
        bodies = await self._read_bodies([event for event in started.values() if event.message_id not in ended])
        async with connection.cursor() as cursor:
            await cursor.executemany(UPSERT_UNFINISHED_SQL, bodies)
            if unknown - ended:
                await cursor.execute(MARK_DOUBTFUL_SQL, {"ids": sorted(unknown - ended)})
            if ended:
                await cursor.execute(DELETE_ENDED_SQL, {"ids": sorted(ended)})

    async def _read_bodies(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Read the accepted messages from Redis. A message that Redis no longer has must have ended."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(events), BODIES_READ_COUNT):
            batch = events[start : start + BODIES_READ_COUNT]
            bodies = await READ_BODIES(self._redis, *(event.message_id for event in batch))
            rows += [
                {
                    "message_id": event.message_id,
                    "at": event.at,
                    "seq": event.position[1],
                    "digest": body[1],
                    "body": body[0],
                }
                for event, body in zip(batch, bodies, strict=True)
                if body
            ]
        return rows

    async def _report_position(self, entry: str) -> None:
        """Store the position in Redis, and log if events were cut before they were copied."""
        await self._redis.set(keys.EVENTS_PROJECTED, entry)
        lost = int(await self._redis.get(keys.EVENTS_LOST) or 0)
        if lost > self._reported_lost:
            log.error("Events were cut before PostgreSQL had them: raise events.stream", events=lost)
        self._reported_lost = lost


class Partitions:
    """The partitions of the ledger, one a day, created for its first event and dropped after retention."""

    def __init__(self) -> None:
        self._existing: set[date] = set()

    async def ensure(self, connection: PostgresConnection, days: Iterable[date]) -> None:
        """Create the partitions of these days if they do not exist."""
        for day in sorted(set(days) - self._existing):
            statement = sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF message_events FOR VALUES FROM ({}) TO ({})"
            ).format(_partition_name(day), _midnight(day), _midnight(day + timedelta(days=1)))
            await connection.execute(statement)
            self._existing.add(day)

    async def drop_before(self, connection: PostgresConnection, day: date) -> int:
        """Drop the partitions of the days before a day and return how many."""
        rows = await (await connection.execute(LIST_PARTITIONS_SQL.encode())).fetchall()
        expired = sorted(
            row["relname"] for row in rows if row["relname"] < PARTITION_PREFIX + day.strftime("%Y%m%d")
        )
        for name in expired:
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        self._existing = {existing for existing in self._existing if existing >= day}
        return len(expired)


def _to_row(event: Event) -> tuple[Any, ...]:
    evidence = msgspec.json.encode(event.evidence).decode()
    return (
        event.at,
        event.position[1],
        event.message_id,
        event.conversation_id,
        event.what,
        event.actor,
        evidence,
    )


def _partition_name(day: date) -> sql.Identifier:
    return sql.Identifier(PARTITION_PREFIX + day.strftime("%Y%m%d"))


def _midnight(day: date) -> sql.Literal:
    return sql.Literal(f"{day.isoformat()} 00:00:00+00")
