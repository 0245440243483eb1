"""Whether this gateway can serve, and go on to: for probes, new messages and new sockets."""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress

from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable, Unavailable
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.safety import Watch
from msgctl.tasks import background

PATIENCE = 1.0
"""Seconds a probe may take."""
INTERVAL = 1.0
"""Seconds between two looks at Redis's memory."""


class Standing:
    """The gateway's own state.

    Args:
        redis: what it cannot serve without.
        settings: `redis.*`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._watch = Watch(redis, settings)
        self.stopping = False

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Keep an eye on Redis until left."""
        return background(self._look())

    def demand_room(self) -> None:
        """Pass if Redis has room for another message, and keeps it.

        Raises:
            RedisUnavailable: at the last look it had not, or did not.
        """
        self._watch.demand_room()

    async def check(self) -> None:
        """Pass if the gateway can serve.

        Raises:
            Unavailable: it is about to stop.
            RedisUnavailable: Redis does not answer at once.
        """
        if self.stopping:
            raise Unavailable("The gateway is stopping.")
        try:
            async with asyncio.timeout(PATIENCE):
                await self._redis.ping()
        except TimeoutError:
            raise RedisUnavailable("Redis does not answer within a second.") from None

    async def _look(self) -> None:
        while True:
            with suppress(RedisUnavailable):  # whoever needs it then hears of that by himself
                await self._watch.look()
            await asyncio.sleep(INTERVAL)
