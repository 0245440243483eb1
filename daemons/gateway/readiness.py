"""Whether this gateway can serve now: for probes, new messages, and new sockets."""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress

from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, Unavailable
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import probe_write
from msgctl.storage.redis.durability import DurabilityMonitor
from msgctl.storage.redis.faults import REDIS_FAULTS

PROBE_TIMEOUT_S = 1.0
"""Seconds that Redis has to answer a probe."""
DURABILITY_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks of the memory of Redis."""


class Readiness:
    """The state of the gateway and of its Redis.

    Args:
        redis: a client of `connections.connect`.
        settings: `redis.*`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._durability = DurabilityMonitor(redis, settings)
        self.stopping = False

    def monitor(self) -> AbstractAsyncContextManager[None]:
        """Check Redis each second while the context lasts."""
        return background(self._check_durability())

    def require_capacity(self) -> None:
        """Check that Redis has memory for another message and persists it, as of the last check.

        Raises:
            RedisUnavailable: it had no memory or was not durable.
        """
        self._durability.require_capacity()

    async def check(self) -> None:
        """Check that the gateway can serve.

        Raises:
            Unavailable: the gateway is stopping.
            RedisUnavailable: Redis takes no write, or does not answer within `PROBE_TIMEOUT_S`.
        """
        if self.stopping:
            raise Unavailable("The gateway is stopping. Use another one.")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await probe_write(self._redis)
        except TimeoutError:
            raise RedisUnavailable("Redis did not answer within a second.") from None

    async def _check_durability(self) -> None:
        while True:
            with suppress(*REDIS_FAULTS):  # each caller that needs Redis gets its own error
                await self._durability.check()
            await asyncio.sleep(DURABILITY_CHECK_INTERVAL_S)
