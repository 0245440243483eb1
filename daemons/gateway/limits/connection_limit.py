"""How many sockets a user and an address hold open, at all gateways together."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from daemons.gateway.limits.rate_limit import RateLimiter
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, TryLater
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

CONNECTION_LIMIT = Script.beside(__file__, "connection_limit")
COUNTER_TTL_MS = 2_592_000_000
"""Milliseconds a count is kept that nobody renews: as long as a socket may live, 30 days."""
SOCKET_LIMIT_RETRY_AFTER_S = 10.0
"""Seconds after which one of the sockets has likely been closed."""


class ConnectionLimiter:
    """Counts sockets.

    Args:
        redis: where gateways tell each other.
        settings: `limits.sockets`, `limits.address_sockets`, `gateway.socket_ttl`.
        limits: knows the tier of a user.
        gateway: this gateway's name.
    """

    def __init__(self, redis: RedisClient, settings: Settings, limits: RateLimiter, gateway: str) -> None:
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._rate_limiter = limits
        self._gateway = gateway
        self._open_sockets: Counter[str] = Counter()

    @asynccontextmanager
    async def hold(self, claims: Claims, address: str) -> AsyncIterator[None]:
        """Count one socket for as long as the context lasts.

        Raises:
            TryLater: its user or its address holds as many as it may.
        """
        bounds = await self._limits_of(claims, address)
        self._open_sockets.update(bounds.keys())
        try:
            if bounds:
                await self._register(bounds)
            yield
        finally:
            self._open_sockets.subtract(bounds.keys())
            for holder in bounds:
                await self._release(holder)

    async def _limits_of(self, claims: Claims, address: str) -> dict[str, int]:
        limits = self._settings.limits
        bounds = {
            f"user:{claims.user_id}": limits.sockets * (await self._rate_limiter.tier_of(claims)).factor,
            f"address:{address}": limits.address_sockets,
        }
        return {holder: bound for holder, bound in bounds.items() if bound}

    async def _register(self, bounds: dict[str, int]) -> None:
        words: list[str | float] = []
        for holder, bound in bounds.items():
            words += [holder, bound, self._open_sockets[holder]]
        # Three beats of another gateway may fail before what it holds is forgotten.
        silence = int(self._settings.gateway.socket_ttl * 2000)
        crowded = any(self._open_sockets[holder] > bound for holder, bound in bounds.items())
        with suppress(RedisUnavailable):
            crowded = crowded or await self._batch.run_script(
                CONNECTION_LIMIT, self._gateway, silence, COUNTER_TTL_MS, *words
            )
        if crowded:
            raise TryLater("As many sockets are open as may be.", retry_after=SOCKET_LIMIT_RETRY_AFTER_S)

    async def _release(self, holder: str) -> None:
        held = self._open_sockets[holder]
        if not held:
            del self._open_sockets[holder]
        key = keys.OCCUPANTS + holder
        with suppress(RedisUnavailable):
            if held:
                await self._batch.run_command("HSET", key, self._gateway, held)
                await self._batch.run_command("PEXPIRE", key, COUNTER_TTL_MS)
            else:
                await self._batch.run_command("HDEL", key, self._gateway)
