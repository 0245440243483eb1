"""The projector: carries the ledger from Redis into PostgreSQL, in batches, each in one transaction.

How far it has come is written in the transaction that writes the events, so nothing lies between the two: after
any crash it goes on where the rows end, and no event is carried twice. The row that holds the position is also the
lock: of all subscribers, one projects. While PostgreSQL is away the stream holds what is to come, up to
`events.stream`.
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
"""Events carried in one transaction."""
BODIES_READ_COUNT = 200
"""Messages whose text is asked for in one call, so that Redis serves others meanwhile."""
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
"""Seconds between two looks for what is past its retention."""

log = logs.get_logger(__name__)


class Projector:
    """Moves one batch at a time.

    Args:
        redis: a client of `redisdb.connect`.
        settings: `events.retention`.
        database: an open one.
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
        """Carry the next events over; how many, 0 if there are none or another subscriber is at it.

        Raises:
            RedisUnavailable, PostgresUnavailable: nothing was carried, and nothing is lost.
            ConfigurationError: the tables are not there.
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
        """Once an hour, drop the days that are past `events.retention`.

        Raises:
            PostgresUnavailable: it is done another time.
        """
        if time.monotonic() < self._next_cleanup:
            return
        before = datetime.now(UTC) - timedelta(days=self._settings.events.retention)
        async with self._database.connection() as connection:
            dropped = await self._partitions.drop_before(connection, before.date())
            await connection.execute(DELETE_EXPIRED_SQL.encode(), {"before": before})
        self._next_cleanup = time.monotonic() + CLEANUP_INTERVAL_S
        if dropped:
            log.info("Days of the ledger are past their retention", days=dropped)

    async def _write(self, connection: PostgresConnection, events: Sequence[Event]) -> None:
        await self._partitions.ensure(connection, {event.at.date() for event in events})
        try:
            async with connection.cursor().copy(COPY_EVENTS_SQL) as copy:
                for event in events:
                    await copy.write_row(_to_row(event))
        except psycopg.errors.UniqueViolation:
            raise ConfigurationError(
                "PostgreSQL has events that Redis calls new: is [postgres] url another pipeline's?"
            ) from None
        await self._update_unfinished(connection, events)
        await connection.execute(SET_POSITION_SQL, {"entry": events[-1].entry})

    async def _update_unfinished(self, connection: PostgresConnection, events: Sequence[Event]) -> None:
        """Keep the messages that have not ended, and no longer than that."""
        begun = {event.message_id: event for event in events if event.what in {"accepted", "replayed"}}
        doubtful, ended = set(), set()
        for event in events:
            if event.is_terminal:
                ended.add(event.message_id)
            elif event.what == "replayed":
                ended.discard(event.message_id)
            elif event.what == "sending" and event.evidence.get("repeatable") == "0":
                doubtful.add(event.message_id)
        bodies = await self._read_bodies([event for event in begun.values() if event.message_id not in ended])
        async with connection.cursor() as cursor:
            await cursor.executemany(UPSERT_UNFINISHED_SQL, bodies)
            if doubtful - ended:
                await cursor.execute(MARK_DOUBTFUL_SQL, {"ids": sorted(doubtful - ended)})
            if ended:
                await cursor.execute(DELETE_ENDED_SQL, {"ids": sorted(ended)})

    async def _read_bodies(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """What was accepted, from where it lies in Redis; what is gone from there is over."""
        rows: list[dict[str, Any]] = []
        for first in range(0, len(events), BODIES_READ_COUNT):
            asked = events[first : first + BODIES_READ_COUNT]
            found = await READ_BODIES(self._redis, *(event.message_id for event in asked))
            rows += [
                {
                    "message_id": event.message_id,
                    "at": event.at,
                    "seq": event.position[1],
                    "digest": digest,
                    "body": body,
                }
                for event, (body, digest) in ((one, pair) for one, pair in zip(asked, found, strict=True) if pair)
            ]
        return rows

    async def _report_position(self, entry: str) -> None:
        """Tell Redis how far PostgreSQL has come, and the log if something was cut before it came."""
        await self._redis.set(keys.EVENTS_PROJECTED, entry)
        lost = int(await self._redis.get(keys.EVENTS_LOST) or 0)
        if lost > self._reported_lost:
            log.error("Events were cut before PostgreSQL had them: raise events.stream", events=lost)
        self._reported_lost = lost


class Partitions:
    """Makes and drops days; remembers those that are there."""

    def __init__(self) -> None:
        self._existing: set[date] = set()

    async def ensure(self, connection: PostgresConnection, days: Iterable[date]) -> None:
        """See to it that these days are there."""
        for day in sorted(set(days) - self._existing):
            statement = sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF message_events FOR VALUES FROM ({}) TO ({})"
            ).format(_partition_name(day), _midnight(day), _midnight(day + timedelta(days=1)))
            await connection.execute(statement)
            self._existing.add(day)

    async def drop_before(self, connection: PostgresConnection, day: date) -> int:
        """Drop the days before one; how many."""
        rows = await (await connection.execute(LIST_PARTITIONS_SQL.encode())).fetchall()
        past = sorted(row["relname"] for row in rows if row["relname"] < PARTITION_PREFIX + day.strftime("%Y%m%d"))
        for name in past:
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        self._existing = {known for known in self._existing if known >= day}
        return len(past)


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
