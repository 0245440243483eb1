"""Connections to Redis, each kind with the timeouts that suit its use."""

import asyncio
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from msgctl.config.settings import Settings
from msgctl.storage.redis import keys, sentinel
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.fast_connection import FastTcpConnection, FastTlsConnection
from msgctl.storage.redis.faults import no_answer
from msgctl.storage.redis.pool import RedisPool

SHORT_COMMAND_RETRY = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3)
"""redis-py sends a command again if its reply is lost, so each of our writes must be idempotent."""

PROBE_TTL_MS = 1000
"""Milliseconds for which the key of a probe exists."""


def connect(settings: Settings) -> RedisClient:
    """Return a client for short commands. If no connection is free, a task waits for one instead of failing."""
    pool = _make_pool(
        settings,
        max_connections=settings.redis.max_connections,
        timeout=settings.redis.timeout,
        retry=SHORT_COMMAND_RETRY,
        **_connection_options(settings, socket_timeout_s=settings.redis.timeout),
    )
    return RedisClient(pool, describe_redis(settings))


def blocking_client(settings: Settings, *, max_block_s: float) -> RedisClient:
    """Return a client with its own connection, for commands that block in Redis (BLPOP, XREADGROUP, pub/sub).

    It never sends a command again. If a reply is lost, the caller fetches its content again.

    Args:
        settings: where Redis is.
        max_block_s: the longest time that a command may block in Redis, in seconds.
    """
    options = _connection_options(settings, socket_timeout_s=settings.redis.timeout + max_block_s)
    no_retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 0)
    return RedisClient(
        _make_pool(settings, max_connections=2, retry=no_retry, **options), describe_redis(settings)
    )


async def ping_new_connection(settings: Settings, *, check_write: bool = False) -> None:
    """Return when Redis has answered on a new connection, independently of existing connections.

    Args:
        settings: `redis.*`.
        check_write: whether to test a write too, which a full Redis or a replica rejects.

    Raises:
        RedisUnavailable: it did not answer within `redis.timeout`; the text says why.
    """
    probe = blocking_client(settings, max_block_s=0)
    try:
        async with asyncio.timeout(settings.redis.timeout):
            await probe.ping()
            if check_write:
                await probe_write(probe)
    except TimeoutError as error:
        raise no_answer(error, probe.address) from error
    finally:
        await probe.aclose()


async def probe_write(redis: RedisClient) -> None:
    """Return when Redis has taken a write. A replica and a full Redis answer a PING, but refuse this.

    Raises:
        RedisUnavailable: it did not take it; the text says why.
    """
    await redis.set(keys.PROBE, "1", px=PROBE_TTL_MS)


def connect_sync(settings: Settings) -> BlockingRedis:
    """Return a client that blocks its thread, for RQ's own code."""
    redis = settings.redis
    options: dict[str, Any] = {
        "db": redis.database,
        "username": redis.username or None,
        "password": redis.password.get_secret_value() or None,
        "socket_timeout": redis.timeout,
        **({"ssl": True, "ssl_ca_certs": redis.tls_ca or None} if redis.tls else {}),
    }
    if redis.sentinels:
        return sentinel.connect_sync_master(settings, **options)
    return BlockingRedis(host=redis.host, port=redis.port, **options)


def describe_redis(settings: Settings) -> str:
    """Return the address of Redis for people, without the password."""
    redis = settings.redis
    if redis.sentinels:
        return f"{redis.sentinel_service}/{redis.database} of the Sentinels {', '.join(redis.sentinels)}"
    return f"redis://{redis.host}:{redis.port}/{redis.database}"


def _make_pool(settings: Settings, **options: Any) -> RedisPool:
    redis = settings.redis
    if redis.sentinels:
        return sentinel.SentinelPool(settings, **options)
    options["connection_class"] = FastTlsConnection if redis.tls else FastTcpConnection
    return RedisPool(host=redis.host, port=redis.port, **options)


def _connection_options(settings: Settings, *, socket_timeout_s: float) -> dict[str, Any]:
    redis = settings.redis
    return {
        "db": redis.database,
        "username": redis.username or None,
        "password": redis.password.get_secret_value() or None,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": redis.timeout,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "decode_responses": True,
        "encoding_errors": "replace",
        **({"ssl_ca_certs": redis.tls_ca or None} if redis.tls else {}),
    }
