"""The limits of users and addresses, counted by all gateways together: requests, frames, and open sockets."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from msgctl.agents.user_tiers import UserTiers
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import TryLater
from msgctl.intake.accept import TierAllowance
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

RATE_LIMIT = Script.beside(__file__, "rate_limit")
CONNECTION_LIMIT = Script.beside(__file__, "connection_limit")
COUNTER_TTL_MS = 2_592_000_000
"""Milliseconds until a counter without updates expires: 30 days, the maximum lifetime of a socket."""
SOCKET_LIMIT_RETRY_AFTER_S = 10.0
"""Seconds after which one of the sockets has probably been closed."""
MINUTE_S = 60.0


class Quota(NamedTuple):
    """The remaining requests of a user, for the headers of the response."""

    limit: int
    """Requests a minute."""
    remaining: int
    reset_s: float
    """Seconds until the whole quota is available again."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the RateLimit fields of the IETF draft."""
        policy = f'"requests";q={self.limit};w=60'
        state = f'"requests";r={self.remaining};t={math.ceil(self.reset_s)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


class RateLimitExceeded(TryLater):
    """A user has sent too many requests.

    Args:
        quota: the remaining quota, which is empty.
        retry_after: seconds until the next request is granted.
    """

    def __init__(self, quota: Quota, retry_after: float) -> None:
        super().__init__("Too many requests within a minute. Try again later.", retry_after=retry_after)
        self.quota = quota


class Tier(NamedTuple):
    """The effect of a tier on the limits: their factor, and the steps by which priority improves."""

    factor: int = 1
    step: int = 0


NO_TIER = Tier()


class RateLimiter:
    """Counts the requests of users.

    Args:
        redis: a client of `connections.connect`, where requests are counted.
        settings: `limits.*`.
        user_tiers: the tiers of users in PostgreSQL. Not queried if the settings name no tiers.
    """

    def __init__(self, redis: RedisClient, settings: Settings, user_tiers: UserTiers) -> None:
        self._batch = AutoPipeline(redis)
        self._user_tiers = user_tiers
        self._settings = settings
        self._limit_settings = settings.limits
        self._tiers = dict(_parse_tier(text) for text in settings.limits.tiers)

    async def tier_of(self, claims: Claims) -> Tier:
        """Return the tier of a user, from PostgreSQL or else the token. An unconfigured tier counts as none."""
        if not self._tiers:
            return NO_TIER
        return self._tiers.get(await self._user_tiers.find(claims.user_id) or claims.tier, NO_TIER)

    async def allowance_of(self, claims: Claims) -> TierAllowance:
        """Return what the tier of a user grants to its messages."""
        tier = await self.tier_of(claims)
        return TierAllowance(priority_boost=tier.step, max_in_flight=self._limit_settings.messages * tier.factor)

    async def count_request(self, claims: Claims) -> Quota | None:
        """Count one request and return the remaining quota, or None without a limit.

        If Redis does not answer, nothing is limited here: the request itself then fails at Redis.

        Raises:
            RateLimitExceeded: the user has sent too many requests.
        """
        if not self._limit_settings.requests:
            return None
        limit = self._limit_settings.requests * (await self.tier_of(claims)).factor
        with suppress(*REDIS_FAULTS):
            async with asyncio.timeout(self._settings.redis.timeout):
                granted, remaining, wait, reset = await self._batch.run_script(RATE_LIMIT, claims.user_id, limit)
            quota = Quota(limit, remaining, reset / 1000)
            if not granted:
                raise RateLimitExceeded(quota, max(1.0, wait / 1000))
            return quota
        return None


class FrameBudget:
    """The frames that one socket may still send: a token bucket of one minute that fills evenly.

    Args:
        limit: frames a minute. 0 means no limit.
        now: seconds of a monotonic clock.
    """

    def __init__(self, limit: int, now: float) -> None:
        self._limit = float(limit)
        self._tokens = self._limit
        self._refilled_at = now

    def try_consume(self, now: float) -> bool:
        """Count one frame. Return False if it exceeds the limit."""
        if not self._limit:
            return True
        self._tokens = min(self._limit, self._tokens + (now - self._refilled_at) * self._limit / MINUTE_S) - 1
        self._refilled_at = now
        return self._tokens >= 0


def _parse_tier(text: str) -> tuple[str, Tier]:
    name, factor, step = text.split(":")
    return name, Tier(int(factor), int(step))


class ConnectionLimiter:
    """Counts the open sockets of each user and address.

    Args:
        redis: a client of `connections.connect`, where all gateways count.
        settings: `limits.sockets`, `limits.address_sockets`, `gateway.socket_ttl`.
        rate_limiter: finds the tier of a user.
        gateway: the name of this gateway.
    """

    def __init__(self, redis: RedisClient, settings: Settings, rate_limiter: RateLimiter, gateway: str) -> None:
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._rate_limiter = rate_limiter
        self._gateway = gateway
        self._open_sockets: Counter[str] = Counter()

    @asynccontextmanager
    async def hold(self, claims: Claims, address: str) -> AsyncIterator[None]:
        """Count one socket while the context lasts.

        Raises:
            TryLater: its user or its address has too many open sockets.
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
        arguments: list[str | float] = []
        for holder, bound in bounds.items():
            arguments += [holder, bound, self._open_sockets[holder]]
        # The sockets of another gateway count until it has missed several heartbeats.
        heartbeat_timeout_ms = int(self._settings.gateway.socket_ttl * 2000)
        is_over_limit = any(self._open_sockets[holder] > bound for holder, bound in bounds.items())
        with suppress(*REDIS_FAULTS):
            is_over_limit = is_over_limit or await self._batch.run_script(
                CONNECTION_LIMIT, self._gateway, heartbeat_timeout_ms, COUNTER_TTL_MS, *arguments
            )
        if is_over_limit:
            raise TryLater(
                "Too many sockets are open. Close one or try again later.", retry_after=SOCKET_LIMIT_RETRY_AFTER_S
            )

    async def _release(self, holder: str) -> None:
        open_count = self._open_sockets[holder]
        if not open_count:
            del self._open_sockets[holder]
        key = keys.OCCUPANTS + holder
        with suppress(*REDIS_FAULTS):
            if open_count:
                await self._batch.run_command("HSET", key, self._gateway, open_count)
                await self._batch.run_command("PEXPIRE", key, COUNTER_TTL_MS)
            else:
                await self._batch.run_command("HDEL", key, self._gateway)
