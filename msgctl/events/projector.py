"""The projector: carries the ledger from Redis into PostgreSQL, in batches, each in one transaction.

How far it has come is written in the transaction that writes the events, so nothing lies between the two: after
any crash it goes on where the rows end, and no event is carried twice. The row that holds the position is also the
lock: of all subscribers, one projects. While PostgreSQL is away the stream holds what is to come, up to
`events.stream`.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from msgctl import contracts, logs
from msgctl.config.settings import Settings
from msgctl.errors import ConfigurationError
from msgctl.events.archive import fetch
from msgctl.events.event import Event
from msgctl.events.ledger import Ledger
from msgctl.events.partitions import Partitions
from msgctl.postgres.database import Connection, Database
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

BODIES = Script.beside(__file__, "read_bodies")
BATCH = 2000
"""Events carried in one transaction."""
AT_ONCE = 200
"""Messages whose text is asked for in one call, so that Redis serves others meanwhile."""
LOCK = "SELECT entry FROM message_events_position FOR UPDATE SKIP LOCKED"
COPY = "COPY message_events (at, seq, message_id, conversation_id, what, actor, evidence) FROM STDIN"
MOVE = "UPDATE message_events_position SET entry = %(entry)s"
BEGUN = """
    INSERT INTO unfinished_messages (message_id, at, seq, digest, body)
    VALUES (%(message_id)s, %(at)s, %(seq)s, %(digest)s, %(body)s)
    ON CONFLICT (message_id) DO UPDATE SET body = excluded.body, doubtful = false
"""
DOUBTFUL = "UPDATE unfinished_messages SET doubtful = true WHERE message_id = ANY(%(ids)s)"
ENDED = "DELETE FROM unfinished_messages WHERE message_id = ANY(%(ids)s)"
FORGOTTEN = "DELETE FROM unfinished_messages WHERE at < %(before)s"
CLEANING = 3600.0
"""Seconds between two looks for what is past its retention."""

log = logs.get(__name__)


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
        self._next_cleaning = 0.0
        self._lost = 0

    async def project(self) -> int:
        """Carry the next events over; how many, 0 if there are none or another subscriber is at it.

        Raises:
            RedisUnavailable, PostgresUnavailable: nothing was carried, and nothing is lost.
            ConfigurationError: the tables are not there.
        """
        async with self._database.connection() as connection, connection.transaction():
            rows = await fetch(connection, LOCK, {})
            events = await self._ledger.after(rows[0]["entry"], BATCH) if rows else []
            if events:
                await self._write(connection, events)
        if events:
            await self._tell(events[-1].entry)
        return len(events)

    async def clean(self) -> None:
        """Once an hour, drop the days that are past `events.retention`.

        Raises:
            PostgresUnavailable: it is done another time.
        """
        if time.monotonic() < self._next_cleaning:
            return
        before = datetime.now(UTC) - timedelta(days=self._settings.events.retention)
        async with self._database.connection() as connection:
            dropped = await self._partitions.drop_before(connection, before.date())
            await connection.execute(FORGOTTEN.encode(), {"before": before})
        self._next_cleaning = time.monotonic() + CLEANING
        if dropped:
            log.info("Days of the ledger are past their retention", days=dropped)

    async def _write(self, connection: Connection, events: Sequence[Event]) -> None:
        await self._partitions.make(connection, {event.at.date() for event in events})
        try:
            async with connection.cursor().copy(COPY) as copy:
                for event in events:
                    await copy.write_row(_row(event))
        except psycopg.errors.UniqueViolation:
            raise ConfigurationError(
                "PostgreSQL has events that Redis calls new: is [postgres] url another pipeline's?"
            ) from None
        await self._follow(connection, events)
        await connection.execute(MOVE, {"entry": events[-1].entry})

    async def _follow(self, connection: Connection, events: Sequence[Event]) -> None:
        """Keep the messages that have not ended, and no longer than that."""
        begun = {event.message_id: event for event in events if event.what in {"accepted", "replayed"}}
        doubtful, ended = set(), set()
        for event in events:
            if event.is_end:
                ended.add(event.message_id)
            elif event.what == "replayed":
                ended.discard(event.message_id)
            elif event.what == "sending" and event.evidence.get("repeatable") == "0":
                doubtful.add(event.message_id)
        bodies = await self._bodies([event for event in begun.values() if event.message_id not in ended])
        async with connection.cursor() as cursor:
            await cursor.executemany(BEGUN, bodies)
            if doubtful - ended:
                await cursor.execute(DOUBTFUL, {"ids": sorted(doubtful - ended)})
            if ended:
                await cursor.execute(ENDED, {"ids": sorted(ended)})

    async def _bodies(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """What was accepted, from where it lies in Redis; what is gone from there is over."""
        rows: list[dict[str, Any]] = []
        for first in range(0, len(events), AT_ONCE):
            asked = events[first : first + AT_ONCE]
            found = await BODIES(self._redis, *(event.message_id for event in asked))
            rows += [
                {
                    "message_id": event.message_id,
                    "at": event.at,
                    "seq": event.order[1],
                    "digest": digest,
                    "body": body,
                }
                for event, (body, digest) in ((one, pair) for one, pair in zip(asked, found, strict=True) if pair)
            ]
        return rows

    async def _tell(self, entry: str) -> None:
        """Tell Redis how far PostgreSQL has come, and the log if something was cut before it came."""
        await self._redis.set(contracts.EVENTS_PROJECTED, entry)
        lost = int(await self._redis.get(contracts.EVENTS_LOST) or 0)
        if lost > self._lost:
            log.error("Events were cut before PostgreSQL had them: raise events.stream", events=lost)
        self._lost = lost


def _row(event: Event) -> tuple[Any, ...]:
    evidence = msgspec.json.encode(event.evidence).decode()
    return (
        event.at,
        event.order[1],
        event.message_id,
        event.conversation_id,
        event.what,
        event.actor,
        evidence,
    )
