"""Connections to Redis, each kind with the timeouts its use can bear."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from msgctl.config import Settings
from msgctl.errors import RedisUnavailable

RESEND = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3)
"""redis-py sends a command again when its reply is lost, so every write of ours can be sent twice unharmed."""


def connect(settings: Settings) -> Redis:
    """A client for short commands, whose pool makes a task wait for a free connection instead of failing it."""
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=settings.redis.max_connections,
            timeout=settings.redis.timeout,
            retry=RESEND,
            **_address(settings, timeout=settings.redis.timeout),
        )
    )


def dedicated(settings: Settings, *, blocking: float) -> Redis:
    """A client with one connection of its own, for commands that wait inside Redis (BLPOP, XREADGROUP, pub/sub).

    It never re-sends: what a lost reply carried is fetched again by the caller, who knows how.

    Args:
        settings: where Redis is.
        blocking: the longest a command of its may wait inside Redis, in seconds.
    """
    address = _address(settings, timeout=settings.redis.timeout + blocking)
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=2, retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 0), **address
        )
    )


def describe(settings: Settings) -> str:
    """Where Redis is, without the password, for messages to people."""
    return f"redis://{settings.redis.host}:{settings.redis.port}/{settings.redis.database}"


@contextmanager
def unavailable_as_error(settings: Settings) -> Iterator[None]:
    """Turn redis-py's connection faults, and a Redis that refuses writes, into `RedisUnavailable`."""
    try:
        yield
    except (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.ReadOnlyError,
        exceptions.OutOfMemoryError,
        exceptions.BusyLoadingError,
        OSError,
    ) as error:
        raise RedisUnavailable(
            f"Redis at {describe(settings)} does not answer ({type(error).__name__}). "
            "Is it running? Set [redis] host and port, or REDIS_HOST and REDIS_PORT."
        ) from error
    except exceptions.ResponseError as error:
        if not str(error).startswith(("MISCONF", "OOM", "MASTERDOWN", "LOADING")):
            raise
        raise RedisUnavailable(f"Redis at {describe(settings)} refuses writes: {error}") from error


def _address(settings: Settings, *, timeout: float) -> dict[str, Any]:
    redis = settings.redis
    return {
        "host": redis.host,
        "port": redis.port,
        "db": redis.database,
        "username": redis.username or None,
        "password": redis.password.get_secret_value() or None,
        "socket_timeout": timeout,
        "socket_connect_timeout": redis.timeout,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "decode_responses": True,
        "encoding_errors": "replace",
        **({"connection_class": SSLConnection} if redis.tls else {}),
    }
