"""Redis, opened with short timeouts, asked whether it keeps what it takes, and spoken to by Lua scripts."""

from msgctl.redisdb.batch import Batch
from msgctl.redisdb.client import RedisClient, RedisPipeline, RedisSubscription
from msgctl.redisdb.connection import (
    connect,
    connect_blocking,
    dedicated,
    describe,
    knock,
)
from msgctl.redisdb.safety import Watch, check_durability, is_durable
from msgctl.redisdb.script import Script

__all__ = [
    "Batch",
    "RedisClient",
    "RedisPipeline",
    "RedisSubscription",
    "Script",
    "Watch",
    "check_durability",
    "connect",
    "connect_blocking",
    "dedicated",
    "describe",
    "is_durable",
    "knock",
]
