"""How many sockets a user and an address hold open, at all gateways together."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from daemons.gateway.limits import Limits
from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable, TryLater
from msgctl.redisdb.batch import Batch
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script
from msgctl.tokens import Claims

OCCUPY = Script.beside(__file__, "connection_limit")
LIFE = 2_592_000_000
"""Milliseconds a count is kept that nobody renews: as long as a socket may live, 30 days."""
RETRY_AFTER = 10.0
"""Seconds after which one of the sockets has likely been closed."""


class Occupancy:
    """Counts sockets.

    Args:
        redis: where gateways tell each other.
        settings: `limits.sockets`, `limits.address_sockets`, `gateway.socket_ttl`.
        limits: knows the tier of a user.
        gateway: this gateway's name.
    """

    def __init__(self, redis: RedisClient, settings: Settings, limits: Limits, gateway: str) -> None:
        self._batch = Batch(redis)
        self._settings = settings
        self._limits = limits
        self._gateway = gateway
        self._held: Counter[str] = Counter()

    @asynccontextmanager
    async def holding(self, claims: Claims, address: str) -> AsyncIterator[None]:
        """Count one socket for as long as the context lasts.

        Raises:
            TryLater: its user or its address holds as many as it may.
        """
        bounds = await self._bounds(claims, address)
        self._held.update(bounds.keys())
        try:
            if bounds:
                await self._enter(bounds)
            yield
        finally:
            self._held.subtract(bounds.keys())
            for holder in bounds:
                await self._leave(holder)

    async def _bounds(self, claims: Claims, address: str) -> dict[str, int]:
        limits = self._settings.limits
        bounds = {
            f"user:{claims.user_id}": limits.sockets * (await self._limits.tier_of(claims)).factor,
            f"address:{address}": limits.address_sockets,
        }
        return {holder: bound for holder, bound in bounds.items() if bound}

    async def _enter(self, bounds: dict[str, int]) -> None:
        words: list[str | float] = []
        for holder, bound in bounds.items():
            words += [holder, bound, self._held[holder]]
        # Three beats of another gateway may fail before what it holds is forgotten.
        silence = int(self._settings.gateway.socket_ttl * 2000)
        crowded = any(self._held[holder] > bound for holder, bound in bounds.items())
        with suppress(RedisUnavailable):
            crowded = crowded or await self._batch.run(OCCUPY, self._gateway, silence, LIFE, *words)
        if crowded:
            raise TryLater("As many sockets are open as may be.", retry_after=RETRY_AFTER)

    async def _leave(self, holder: str) -> None:
        held = self._held[holder]
        if not held:
            del self._held[holder]
        key = contracts.OCCUPANTS + holder
        with suppress(RedisUnavailable):
            if held:
                await self._batch.command("HSET", key, self._gateway, held)
                await self._batch.command("PEXPIRE", key, LIFE)
            else:
                await self._batch.command("HDEL", key, self._gateway)
