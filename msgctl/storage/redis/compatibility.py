"""Whether a server can work for msgctl at all: its kind, its version, its commands, and its scripts.

A server is judged by what it does, not by its name, because clones call themselves Redis and differ in scripts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, RedisUnavailable
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import describe_redis
from msgctl.storage.redis.durability import check_durability
from msgctl.storage.redis.lua import Script

MIN_REDIS_VERSION = (6, 2)
# fmt: off
REQUIRED_COMMANDS = (
    "BLPOP", "DEL", "EVAL", "EVALSHA", "EXISTS", "EXPIRE", "GET", "GETDEL", "HDEL", "HEXISTS", "HGET",
    "HGETALL", "HINCRBY", "HKEYS", "HMGET", "HSET", "HSETNX", "HVALS", "INCRBY", "INFO", "LINDEX", "LINSERT",
    "LLEN", "LPOP", "LPOS", "LPUSH", "LRANGE", "LREM", "LTRIM", "MGET", "PERSIST", "PEXPIRE",
    "PSUBSCRIBE", "PTTL", "PUBLISH", "RPUSH", "SADD", "SCAN", "SCARD", "SCRIPT", "SET", "SMEMBERS",
    "SPOP", "SREM", "SUBSCRIBE", "TIME", "XACK", "XADD", "XAUTOCLAIM", "XCLAIM", "XDEL", "XGROUP",
    "XINFO", "XLEN", "XPENDING", "XRANGE", "XREADGROUP", "XREVRANGE", "XTRIM", "ZADD", "ZCARD",
    "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZSCORE",
)
# fmt: on
PROBE = Script("""
redis.call('TIME')
redis.call('SET', K.probe, cjson.encode({1}), 'PX', 1000)
return redis.call('GET', K.probe)
""")
"""What every script does: write a key that it did not declare, after a command with a random result."""
REPLACEMENT = "Use Redis 6.2 or newer, or Valkey, as one primary with replicas if you like, and without Cluster."
CLUSTER_STATES = frozenset({"MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"})


class Incompatibility(NamedTuple):
    """A reason why a server cannot work.

    Args:
        code: for operators, e.g. `redis_cluster`.
        text: the sentence that names it.
    """

    code: str
    text: str


async def find_incompatibility(redis: RedisClient) -> Incompatibility | None:
    """Return the first reason why this server cannot work, or None.

    Raises:
        RedisUnavailable: it does not answer, or is in a state that passes.
    """
    try:
        return (
            _find_by_info(await redis.info("server", "cluster"))
            or await _find_missing_commands(redis)
            or await _find_script_fault(redis)
        )
    except RedisUnavailable as outage:
        if outage.state in CLUSTER_STATES:
            return _CLUSTER
        raise
    except ResponseError as error:
        return Incompatibility("redis_incompatible", f"It refuses what msgctl needs: {error}.")


async def check_server(redis: RedisClient, settings: Settings) -> None:
    """Reject a Redis that cannot work, or that may lose an accepted message.

    Raises:
        ConfigurationError: it cannot work, or its user lacks a right.
        UnsafeRedis: it may lose messages, and `redis.accept_data_loss` is off.
        RedisUnavailable: it does not answer.
    """
    try:
        found = await find_incompatibility(redis)
    except RedisUnavailable as outage:
        if outage.state == "NOPERM":
            raise ConfigurationError(outage.message) from outage
        if outage.state not in {"READONLY", "OOM", "NOREPLICAS", "MISCONF"}:
            raise
        found = None  # it refuses writes now, which passes
    if found:
        raise ConfigurationError(f"Redis at {describe_redis(settings)} cannot be used. {found.text} {REPLACEMENT}")
    if not settings.redis.accept_data_loss:
        await check_durability(redis, settings)


_CLUSTER = Incompatibility(
    "redis_cluster", "It is a Redis Cluster, whose nodes refuse scripts on keys of several slots."
)


def _find_by_info(info: Mapping[str, Any]) -> Incompatibility | None:
    if int(info.get("cluster_enabled", 0)) or info.get("redis_mode") == "cluster":
        return _CLUSTER
    if info.get("redis_mode") == "sentinel":
        return Incompatibility("redis_sentinel", "It is a Sentinel. Name it in [redis] sentinels instead of host.")
    version = str(info.get("redis_version", ""))
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < MIN_REDIS_VERSION:
        return Incompatibility("redis_old", f"Its version is {version}.")
    return None


async def _find_missing_commands(redis: RedisClient) -> Incompatibility | None:
    """Compare with the commands that the server knows, unless it does not tell."""
    try:
        rows = await redis.execute_command("COMMAND INFO", *REQUIRED_COMMANDS)
    except (RedisUnavailable, ResponseError):
        return None
    missing = [name for name, row in zip(REQUIRED_COMMANDS, rows, strict=False) if not row]
    if not missing:
        return None
    text = f"It lacks {', '.join(missing)}, or they are renamed."
    return Incompatibility("redis_incompatible", text)


async def _find_script_fault(redis: RedisClient) -> Incompatibility | None:
    try:
        await PROBE(redis)
    except ResponseError as error:
        return Incompatibility("redis_incompatible", f"Its scripts do not work as those of Redis: {error}.")
    return None
