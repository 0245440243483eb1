"""The days of the ledger: one partition each, made when its first event comes, dropped when its time is over."""

from collections.abc import Iterable
from datetime import date, timedelta

from psycopg import sql

from msgctl.storage.postgres.database import PostgresConnection

PARTITION_PREFIX = "message_events_day_"
LIST_PARTITIONS_SQL = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'message\\_events\\_day\\_%'"
)


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


def _partition_name(day: date) -> sql.Identifier:
    return sql.Identifier(PARTITION_PREFIX + day.strftime("%Y%m%d"))


def _midnight(day: date) -> sql.Literal:
    return sql.Literal(f"{day.isoformat()} 00:00:00+00")
