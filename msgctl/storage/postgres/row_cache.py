"""A cache of rows that PostgreSQL notifies when a row changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import psycopg

from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.storage.postgres.database import connection_arguments, connection_string

ABSENT_ROW_TTL_S = 2.0
"""Seconds for which an absent row is cached: long enough to limit a flood of lookups, yet short."""
RECONNECT_PAUSES_S = (0.2, 5.0)
"""Seconds before the first reconnect, and the maximum to which the pause doubles."""

log = logs.get_logger(__name__)
CachedRow = TypeVar("CachedRow")


class RowCache(Generic[CachedRow]):
    """Caches rows by id.

    Args:
        load: reads a row from the database.
        ttl_s: seconds for which a row is cached.
        max_rows: maximum number of ids. The least recently used one is evicted.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[CachedRow | None]], *, ttl_s: float, max_rows: int = 10_000
    ) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._max_rows = max_rows
        self._rows: OrderedDict[str, tuple[float, CachedRow | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[CachedRow | None]] = {}

    async def get(self, row_id: str) -> CachedRow | None:
        """Return the cached row, or load it. Concurrent callers share one query."""
        expires, row = self._rows.get(row_id, (0.0, None))
        if expires > asyncio.get_running_loop().time():
            self._rows.move_to_end(row_id)
            return row
        task = self._loading.get(row_id)
        if task is None:
            task = asyncio.create_task(self._load_row(row_id))
            self._loading[row_id] = task
            task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(task)

    def invalidate(self, row_id: str) -> None:
        """Remove one id. A query in progress may predate the change, so its result is not cached."""
        self._rows.pop(row_id, None)
        self._loading.pop(row_id, None)

    def clear(self) -> None:
        """Remove all ids, because notifications may have been missed."""
        self._rows.clear()
        self._loading.clear()

    async def _load_row(self, row_id: str) -> CachedRow | None:
        task = asyncio.current_task()
        try:
            row = await self._load(row_id)
            if self._loading.get(row_id) is task:
                self._remember(row_id, row)
            return row
        finally:
            if self._loading.get(row_id) is task:
                del self._loading[row_id]

    def _remember(self, row_id: str, row: CachedRow | None) -> None:
        ttl = self._ttl_s if row is not None else min(self._ttl_s, ABSENT_ROW_TTL_S)
        self._rows[row_id] = (asyncio.get_running_loop().time() + ttl, row)
        self._rows.move_to_end(row_id)
        if len(self._rows) > self._max_rows:
            self._rows.popitem(last=False)


async def invalidate_on_notify(settings: Settings, channel: str, cache: RowCache[Any]) -> None:
    """Remove each row that changes from the cache, until cancelled.

    Whenever the connection is made, the cache is cleared, because a change may have been missed. While it is down,
    rows are served until their TTL ends, so an outage of PostgreSQL does not stop known agents.

    Args:
        settings: `postgres.*`.
        channel: the NOTIFY channel of changed ids, a name in `keys`.
        cache: the cache, by the same ids.
    """
    pause = RECONNECT_PAUSES_S[0]
    while True:
        try:
            async with await _connect(settings, channel) as connection:
                cache.clear()
                pause = RECONNECT_PAUSES_S[0]
                async for notification in connection.notifies():
                    cache.invalidate(notification.payload)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning(
                "Notifications of changed rows are interrupted",
                channel=channel,
                error=type(error).__name__,
                again_in=pause,
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, RECONNECT_PAUSES_S[1])


async def _connect(settings: Settings, channel: str) -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(
        connection_string(settings), **connection_arguments(settings), keepalives_idle=30
    )
    try:
        await connection.execute(f"LISTEN {channel}".encode())
    except BaseException:
        await connection.close()
        raise
    return connection


def _retrieve_exception(task: "asyncio.Task[Any]") -> None:
    """Retrieve the exception of a task that nobody awaits, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
