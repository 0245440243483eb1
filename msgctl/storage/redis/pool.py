"""The connection pool of a client, which can leave a server that no longer takes writes."""

import asyncio
import time

from redis.asyncio import BlockingConnectionPool

MIN_LEAVE_INTERVAL_S = 1.0
"""Seconds between two reconnects of a pool whose server refuses writes. A full Redis must not see a storm."""


class RedisPool(BlockingConnectionPool):
    """A pool of connections. A task waits for a free one instead of failing."""

    _left_at = -MIN_LEAVE_INTERVAL_S

    async def leave_server(self) -> bool:
        """Close every connection, so that the next ones resolve the address again; those in use, once free.

        Returns:
            Whether it did. False if it did so less than `MIN_LEAVE_INTERVAL_S` ago.
        """
        now = time.monotonic()
        if now - self._left_at < MIN_LEAVE_INTERVAL_S:
            return False
        self._left_at = now
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        idle = list(self._available_connections)
        self._available_connections.clear()  # before the first await: no task may take one of them meanwhile
        await asyncio.gather(*(connection.disconnect() for connection in idle), return_exceptions=True)
        return True
