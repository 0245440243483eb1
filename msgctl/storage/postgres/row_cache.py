"""A cache of rows that is told by PostgreSQL when a row changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import psycopg

from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.storage.postgres.database import connection_arguments, connection_string

ABSENT_ROW_TTL_S = 2.0
"""Seconds an absent row is remembered as absent: enough to blunt a flood, too short to annoy its maker."""
RECONNECT_PAUSES_S = (0.2, 5.0)
"""Seconds before the first and, doubled each time, before the last kind of new try."""

log = logs.get_logger(__name__)
CachedRow = TypeVar("CachedRow")


class RowCache(Generic[CachedRow]):
    """What was found of each id, for a while.

    Args:
        load: asks the database.
        ttl_s: seconds a row is remembered.
        max_rows: ids remembered at most; the one not asked for longest goes first.
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
        """The remembered row, or what `load` says; whoever asks meanwhile shares that one query."""
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
        """Forget one id; an answer that is under way may be of before the change and is not remembered."""
        self._rows.pop(row_id, None)
        self._loading.pop(row_id, None)

    def clear(self) -> None:
        """Forget all, as when notifications may have been missed."""
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
    """Drop each row that changes from the cache, for as long as this task lives.

    Args:
        settings: `postgres.*`.
        channel: where the ids of changed rows are told; a name of `keys`.
        cache: what remembers them by those ids.

    Whenever the connection comes (back), the cache is cleared: a change may have been missed. While it is away,
    rows serve until their time is over, so an outage of PostgreSQL does not stop what is known.
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
            log.warning("not hearing of changed rows", channel=channel, error=type(error).__name__, again_in=pause)
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
    """Look at a failure that nobody waits for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
