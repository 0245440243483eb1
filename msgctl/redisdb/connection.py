"""Connections to Redis, each kind with the timeouts its use can bear."""

import asyncio
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.redisdb import sentinels
from msgctl.redisdb.client import RedisClient, no_answer
from msgctl.redisdb.lane import PlainLane, SecureLane

RESEND = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3)
"""redis-py sends a command again when its reply is lost, so every write of ours can be sent twice unharmed."""


def connect(settings: Settings) -> RedisClient:
    """A client for short commands, whose pool makes a task wait for a free connection instead of failing it."""
    pool = _pool(
        settings,
        max_connections=settings.redis.max_connections,
        timeout=settings.redis.timeout,
        retry=RESEND,
        **_manner(settings, timeout=settings.redis.timeout),
    )
    return RedisClient(pool, describe(settings))


def dedicated(settings: Settings, *, blocking: float) -> RedisClient:
    """A client with one connection of its own, for commands that wait inside Redis (BLPOP, XREADGROUP, pub/sub).

    It never re-sends: what a lost reply carried is fetched again by the caller, who knows how.

    Args:
        settings: where Redis is.
        blocking: the longest a command of its may wait inside Redis, in seconds.
    """
    manner = _manner(settings, timeout=settings.redis.timeout + blocking)
    patience = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 0)
    return RedisClient(_pool(settings, max_connections=2, retry=patience, **manner), describe(settings))


async def knock(settings: Settings, *, writing: bool = False) -> None:
    """Return once Redis has answered a newcomer, whatever becomes of the connections there are.

    Args:
        settings: `redis.*`.
        writing: also whether it takes a write; one that is full, or a replica, takes none.

    Raises:
        RedisUnavailable: it has not within `redis.timeout`, and why.
    """
    newcomer = dedicated(settings, blocking=0)
    try:
        async with asyncio.timeout(settings.redis.timeout):
            await newcomer.ping()
            if writing:
                await newcomer.set(contracts.PROBE, "1", px=1000)
    except TimeoutError as error:
        raise no_answer(error, newcomer.address) from error
    finally:
        await newcomer.aclose()


def connect_blocking(settings: Settings) -> BlockingRedis:
    """A client that blocks its thread, for RQ's own code."""
    redis = settings.redis
    manner: dict[str, Any] = {
        "db": redis.database,
        "username": redis.username or None,
        "password": redis.password.get_secret_value() or None,
        "socket_timeout": redis.timeout,
        **({"ssl": True, "ssl_ca_certs": redis.tls_ca or None} if redis.tls else {}),
    }
    if redis.sentinels:
        return sentinels.find_blocking(settings, **manner)
    return BlockingRedis(host=redis.host, port=redis.port, **manner)


def describe(settings: Settings) -> str:
    """Where Redis is, without the password, for messages to people."""
    redis = settings.redis
    if redis.sentinels:
        return f"{redis.sentinel_service}/{redis.database} of the Sentinels {', '.join(redis.sentinels)}"
    return f"redis://{redis.host}:{redis.port}/{redis.database}"


def _pool(settings: Settings, **manner: Any) -> BlockingConnectionPool:
    redis = settings.redis
    if redis.sentinels:
        return sentinels.SentinelPool(settings, **manner)
    manner["connection_class"] = SecureLane if redis.tls else PlainLane
    return BlockingConnectionPool(host=redis.host, port=redis.port, **manner)


def _manner(settings: Settings, *, timeout: float) -> dict[str, Any]:
    redis = settings.redis
    return {
        "db": redis.database,
        "username": redis.username or None,
        "password": redis.password.get_secret_value() or None,
        "socket_timeout": timeout,
        "socket_connect_timeout": redis.timeout,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "decode_responses": True,
        "encoding_errors": "replace",
        **({"ssl_ca_certs": redis.tls_ca or None} if redis.tls else {}),
    }
