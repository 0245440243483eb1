"""Whether this gateway can serve: for probes, and for the sockets it must not take any more."""

import asyncio
from typing import Any, cast

from redis.asyncio import Redis

from msgctl.config import Settings
from msgctl.errors import RedisUnavailable, Unavailable
from msgctl.redisdb import unavailable_as_error

PATIENCE = 1.0
"""Seconds a probe may take."""


class Standing:
    """The gateway's own state.

    Args:
        redis: what it cannot serve without.
        settings: where Redis is.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self.stopping = False

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
                with unavailable_as_error(self._settings):
                    await cast("Any", self._redis.ping())
        except TimeoutError:
            raise RedisUnavailable("Redis does not answer within a second.") from None
