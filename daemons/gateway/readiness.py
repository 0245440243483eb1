"""Whether this gateway can serve, and go on to: for probes, new messages and new sockets."""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress

from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, Unavailable
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.durability import DurabilityMonitor

PROBE_TIMEOUT_S = 1.0
"""Seconds a probe may take."""
DURABILITY_CHECK_INTERVAL_S = 1.0
"""Seconds between two looks at Redis's memory."""


class Readiness:
    """The gateway's own state.

    Args:
        redis: what it cannot serve without.
        settings: `redis.*`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._durability = DurabilityMonitor(redis, settings)
        self.stopping = False

    def monitor(self) -> AbstractAsyncContextManager[None]:
        """Keep an eye on Redis until left."""
        return background(self._check_durability())

    def require_capacity(self) -> None:
        """Pass if Redis has room for another message, and keeps it.

        Raises:
            RedisUnavailable: at the last look it had not, or did not.
        """
        self._durability.require_capacity()

    async def check(self) -> None:
        """Pass if the gateway can serve.

        Raises:
            Unavailable: it is about to stop.
            RedisUnavailable: Redis does not answer at once.
        """
        if self.stopping:
            raise Unavailable("The gateway is stopping.")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._redis.ping()
        except TimeoutError:
            raise RedisUnavailable("Redis does not answer within a second.") from None

    async def _check_durability(self) -> None:
        while True:
            with suppress(RedisUnavailable):  # whoever needs it then hears of that by himself
                await self._durability.check()
            await asyncio.sleep(DURABILITY_CHECK_INTERVAL_S)
