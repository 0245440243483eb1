"""How much one client may ask for, counted by all gateways together, and what its tier makes of that."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from msgctl.agents.user_tiers import UserTiers
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, TryLater
from msgctl.intake.accept import TierAllowance
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

RATE_LIMIT = Script.beside(__file__, "rate_limit")
CONNECTION_LIMIT = Script.beside(__file__, "connection_limit")
COUNTER_TTL_MS = 2_592_000_000
"""Milliseconds a count is kept that nobody renews: as long as a socket may live, 30 days."""
SOCKET_LIMIT_RETRY_AFTER_S = 10.0
"""Seconds after which one of the sockets has likely been closed."""
MINUTE_S = 60.0


class Quota(NamedTuple):
    """What a user has left, for the headers of the answer."""

    limit: int
    """Requests a minute."""
    remaining: int
    reset_s: float
    """Seconds until all of it is there again."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The RateLimit fields, after the IETF's draft."""
        policy = f'"requests";q={self.limit};w=60'
        state = f'"requests";r={self.remaining};t={math.ceil(self.reset_s)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


class RateLimitExceeded(TryLater):
    """A user has sent too many requests.

    Args:
        quota: what there is left, which is nothing.
        retry_after: seconds until one more is granted.
    """

    def __init__(self, quota: Quota, retry_after: float) -> None:
        super().__init__("Too many requests within a minute.", retry_after=retry_after)
        self.quota = quota


class Tier(NamedTuple):
    """What a tier makes of the limits."""

    factor: int = 1
    step: int = 0


NO_TIER = Tier()


class RateLimiter:
    """The limits of users.

    Args:
        redis: where requests are counted.
        settings: `limits.*`.
        rows: the tiers that PostgreSQL knows; without tiers in the settings they are not asked.
    """

    def __init__(self, redis: RedisClient, settings: Settings, rows: UserTiers) -> None:
        self._batch = AutoPipeline(redis)
        self._user_tiers = rows
        self._settings = settings
        self._limit_settings = settings.limits
        self._tiers = dict(_parse_tier(text) for text in settings.limits.tiers)

    async def tier_of(self, claims: Claims) -> Tier:
        """The tier a user's row names, else the token; one that is not configured counts as none."""
        if not self._tiers:
            return NO_TIER
        return self._tiers.get(await self._user_tiers.find(claims.user_id) or claims.tier, NO_TIER)

    async def allowance_of(self, claims: Claims) -> TierAllowance:
        """What the tier of a user grants its messages."""
        tier = await self.tier_of(claims)
        return TierAllowance(priority_boost=tier.step, max_in_flight=self._limit_settings.messages * tier.factor)

    async def count_request(self, claims: Claims) -> Quota | None:
        """Count one request; None where there is no bound.

        A Redis that does not answer bounds nothing here: whatever is then asked of it fails by itself.

        Raises:
            Exceeded: it is one too many.
        """
        if not self._limit_settings.requests:
            return None
        limit = self._limit_settings.requests * (await self.tier_of(claims)).factor
        with suppress(RedisUnavailable):
            async with asyncio.timeout(self._settings.redis.timeout):
                granted, remaining, wait, reset = await self._batch.run_script(RATE_LIMIT, claims.user_id, limit)
            quota = Quota(limit, remaining, reset / 1000)
            if not granted:
                raise RateLimitExceeded(quota, max(1.0, wait / 1000))
            return quota
        return None


class FrameBudget:
    """How many frames one socket may still send: a bucket of a minute's worth that fills evenly.

    Args:
        limit: frames a minute; 0: no bound.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, limit: int, now: float) -> None:
        self._limit = float(limit)
        self._tokens = self._limit
        self._refilled_at = now

    def try_consume(self, now: float) -> bool:
        """Count one frame; False if it is one too many."""
        if not self._limit:
            return True
        self._tokens = min(self._limit, self._tokens + (now - self._refilled_at) * self._limit / MINUTE_S) - 1
        self._refilled_at = now
        return self._tokens >= 0


def _parse_tier(text: str) -> tuple[str, Tier]:
    name, factor, step = text.split(":")
    return name, Tier(int(factor), int(step))


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
