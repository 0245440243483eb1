"""A connection that LISTENs for changed rows."""

import asyncio
from typing import Any

import psycopg

from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.storage.postgres.cache import RowCache
from msgctl.storage.postgres.database import connection_arguments, connection_string

log = logs.get_logger(__name__)

RECONNECT_PAUSES_S = (0.2, 5.0)
"""Seconds before the first and, doubled each time, before the last kind of new try."""


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
