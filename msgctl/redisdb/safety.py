"""Whether Redis keeps what it takes: `noeviction` and an append-only file, or the daemons do not start."""

from redis.asyncio import Redis

from msgctl.config import Settings
from msgctl.errors import UnsafeRedis
from msgctl.redisdb.connection import describe, unavailable_as_error


async def check_durability(redis: Redis, settings: Settings) -> None:
    """Refuse a Redis that may forget an accepted message.

    INFO is asked, not CONFIG, since managed servers forbid CONFIG.

    Raises:
        UnsafeRedis: it evicts keys or keeps no append-only file; the text holds the mending command.
        RedisUnavailable: it does not answer.
    """
    with unavailable_as_error(settings):
        info = await redis.info("memory", "persistence")
    problems, commands = [], []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        problems.append(f"maxmemory-policy is {policy}, so accepted messages vanish when memory is short")
        commands.append("redis-cli CONFIG SET maxmemory-policy noeviction")
    if not int(info.get("aof_enabled", 0)):
        problems.append("appendonly is off, so accepted messages vanish when Redis stops")
        commands.append("redis-cli CONFIG SET appendonly yes")
    if problems:
        raise UnsafeRedis(
            f"Redis at {describe(settings)} may lose messages: {'; '.join(problems)}. "
            f"Mend it: {' && '.join(commands)} (and in redis.conf). To start all the same: --accept-data-loss"
        )
