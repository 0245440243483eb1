"""Redis behind Sentinels, which are asked for the current master at each new connection.

A failover loses writes that the old master had accepted but not replicated. `min-replicas-to-write 1` limits that.
"""

from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection as SecureConnection
from redis.sentinel import Sentinel as BlockingSentinel

from msgctl.config.settings import Settings
from msgctl.storage.redis.pool import RedisPool


class SentinelPool(SentinelConnectionPool, RedisPool):
    """A pool of connections to the master. A task waits for a free one.

    Args:
        settings: `redis.sentinels` and what belongs to them.
        options: as of `BlockingConnectionPool`, without an address.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        redis = settings.redis
        options["connection_class"] = SecureConnection if redis.tls else SentinelManagedConnection
        super().__init__(  # type: ignore[no-untyped-call]
            redis.sentinel_service,
            Sentinel(_sentinel_addresses(settings), sentinel_kwargs=_sentinel_options(settings)),  # type: ignore[no-untyped-call]
            check_connection=True,
            **options,
        )

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Close the connections; at the end of the client, those to the Sentinels too."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def connect_sync_master(settings: Settings, **options: Any) -> BlockingRedis:
    """Return a blocking client of the master."""
    finder = BlockingSentinel(_sentinel_addresses(settings), sentinel_kwargs=_sentinel_options(settings))  # type: ignore[no-untyped-call]
    client: BlockingRedis = finder.master_for(settings.redis.sentinel_service, **options)  # type: ignore[no-untyped-call]
    return client


def _sentinel_addresses(settings: Settings) -> list[tuple[str, int]]:
    pairs = [sentinel.rpartition(":") for sentinel in settings.redis.sentinels]
    return [(host.strip("[]") or "localhost", int(port)) for host, _, port in pairs]


def _sentinel_options(settings: Settings) -> dict[str, Any]:
    redis = settings.redis
    return {
        "password": redis.sentinel_password.get_secret_value() or None,
        "socket_timeout": redis.timeout,
        "socket_connect_timeout": redis.timeout,
        **({"ssl": True, "ssl_ca_certs": redis.tls_ca or None} if redis.tls else {}),
    }
