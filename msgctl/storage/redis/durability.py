"""Whether Redis keeps accepted data: `noeviction`, an append-only file, and free memory."""

import time
from collections.abc import Mapping
from typing import Any

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, UnsafeRedis
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import describe_redis

MAX_MEMORY_RATIO = 0.8
"""The share of `maxmemory` above which no message is accepted, so that accepted ones can still be processed."""
ALARM_INTERVAL_S = 60.0
"""Seconds between two alarms of the same kind."""

log = logs.get_logger(__name__)


async def check_durability(redis: RedisClient, settings: Settings) -> None:
    """Reject a Redis that may lose an accepted message.

    The check reads INFO instead of CONFIG, because managed servers forbid CONFIG.

    Raises:
        UnsafeRedis: Redis evicts keys or keeps no append-only file. The text contains the command that fixes it.
        RedisUnavailable: Redis does not answer.
    """
    _require_durability(await redis.info("memory", "persistence"), settings)


def is_durable(info: Mapping[str, Any]) -> bool:
    """Return whether Redis keeps the data it accepted.

    Args:
        info: the INFO of Redis, sections memory and persistence.
    """
    return not _find_problems(info)


class DurabilityMonitor:
    """Watches a Redis that was safe when this process started. Call `check` each second.

    Args:
        redis: a client of `connections.connect`.
        settings: `redis.accept_data_loss`, and the address of Redis for alarms.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._next_alarm = 0.0
        self.is_full = False
        """Whether Redis has less than a fifth of its memory left."""
        self.evicts = False
        """Whether Redis may evict accepted data, and the settings do not accept that."""

    async def check(self) -> None:
        """Check Redis, and log an alarm, at most once per minute, if it has become unsafe or full.

        Raises:
            RedisUnavailable: it does not answer.
        """
        alarm = self._find_alarm(await self._refresh())
        if alarm and time.monotonic() >= self._next_alarm:
            self._next_alarm = time.monotonic() + ALARM_INTERVAL_S
            log.error("Redis is not safe", error=alarm)

    async def rejection_reason(self) -> str:
        """Return a sentence that says why no message is accepted now; empty if messages are accepted.

        Raises:
            RedisUnavailable: it does not answer.
        """
        await self._refresh()
        try:
            self.require_capacity()
        except RedisUnavailable as refusal:
            return refusal.message
        return ""

    def require_capacity(self) -> None:
        """Reject new data for a Redis that is nearly full or evicts keys.

        Raises:
            RedisUnavailable: at the last check it was nearly full or evicted keys.
        """
        if self.evicts:
            raise RedisUnavailable(
                f"Redis at {describe_redis(self._settings)} evicts keys; "
                "nothing new is accepted until it does not.",
                retry_after=10.0,
            )
        if self.is_full:
            raise RedisUnavailable(
                f"Redis at {describe_redis(self._settings)} has used more than "
                f"{MAX_MEMORY_RATIO:.0%} of its maxmemory; "
                "nothing new is accepted until there is room.",
                retry_after=10.0,
            )

    async def _refresh(self) -> Mapping[str, Any]:
        info: Mapping[str, Any] = await self._redis.info("memory", "persistence")
        limit = int(info.get("maxmemory", 0))
        self.is_full = bool(limit) and int(info["used_memory"]) > MAX_MEMORY_RATIO * limit
        self.evicts = _evicts_keys(info) and not self._settings.redis.accept_data_loss
        return info

    def _find_alarm(self, info: Mapping[str, Any]) -> str | None:
        try:
            if not self._settings.redis.accept_data_loss:
                _require_durability(info, self._settings)
            self.require_capacity()
        except (UnsafeRedis, RedisUnavailable) as error:
            return error.message
        return None


def _evicts_keys(info: Mapping[str, Any]) -> bool:
    return bool(info.get("maxmemory_policy", "noeviction") != "noeviction")


def _find_problems(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the problems, each with the command of `redis-cli` that fixes it."""
    found = []
    if _evicts_keys(info):
        text = f"maxmemory-policy is {info['maxmemory_policy']}, so accepted messages vanish when memory is short"
        found.append((text, "CONFIG SET maxmemory-policy noeviction"))
    if not int(info.get("aof_enabled", 0)):
        text = "appendonly is off, so accepted messages vanish when Redis stops"
        found.append((text, "CONFIG SET appendonly yes"))
    return found


def _require_durability(info: Mapping[str, Any], settings: Settings) -> None:
    if problems := _find_problems(info):
        redis = settings.redis
        client = "redis-cli" if redis.sentinels else f"redis-cli -h {redis.host} -p {redis.port}"
        problem = "; ".join(text for text, _ in problems)
        remedy = " && ".join(f"{client} {command}" for _, command in problems)
        raise UnsafeRedis(
            f"Redis at {describe_redis(settings)} may lose messages: {problem}. "
            f"Fix it: {remedy} (and in redis.conf). To start anyway, add --accept-data-loss"
        )
