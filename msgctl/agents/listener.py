"""The one connection that LISTENs for changed agents."""

import asyncio

import psycopg

from msgctl import logs
from msgctl.agents.cache import Cache
from msgctl.config import Settings
from msgctl.contracts import AGENT_NOTIFICATIONS
from msgctl.postgres import connection_arguments, connection_string

log = logs.get(__name__)

RECONNECT = (0.2, 5.0)
"""Seconds before the first and, doubled each time, before the last kind of new try."""


async def listen(settings: Settings, cache: Cache) -> None:
    """Drop each agent that changes from the cache, for as long as this task lives.

    Whenever the connection comes (back), the cache is cleared: a change may have been missed. While it is away,
    rows serve until their time is over, so an outage of PostgreSQL does not stop known agents.
    """
    pause = RECONNECT[0]
    while True:
        try:
            async with await _connect(settings) as connection:
                cache.clear()
                pause = RECONNECT[0]
                async for notification in connection.notifies():
                    cache.drop(notification.payload)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("not hearing of changed agents", error=type(error).__name__, again_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, RECONNECT[1])


async def _connect(settings: Settings) -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(
        connection_string(settings), **connection_arguments(settings), keepalives_idle=30
    )
    try:
        await connection.execute(f"LISTEN {AGENT_NOTIFICATIONS}".encode())
    except BaseException:
        await connection.close()
        raise
    return connection
