"""A client leaves a server that refuses writes, so that the next connection finds the new primary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client, connect
from msgctl.storage.redis.lua import Script
from tools.support.daemons import until
from tools.support.moving_address import MovingAddress

pytestmark = pytest.mark.redis_server
WRITE = Script("return redis.call('SET', 'k', ARGV[1])")


@pytest.fixture
async def primaries(tmp_path: Path) -> AsyncIterator[tuple[ValkeyServer, ValkeyServer]]:
    """Two servers; the second replaces the first."""
    async with ValkeyServer(tmp_path / "old") as old, ValkeyServer(tmp_path / "new") as new:
        yield old, new


def settings_for(port: int) -> Settings:
    """Settings that lead to a port."""
    return Settings.model_validate({"redis": {"host": "127.0.0.1", "port": port, "timeout": 2.0}})


async def demote(server: ValkeyServer) -> None:
    """Make a server refuse writes and keep its connections."""
    async with connect(settings_for(server.port)) as redis:
        await redis.replicaof("127.0.0.1", "9")


@pytest.mark.parametrize("way", ["command", "script", "pipeline", "transaction"])
async def test_writes_reach_the_new_primary(primaries: tuple[ValkeyServer, ValkeyServer], way: str) -> None:
    """After one refusal every connection of the pool is new, whatever was refused."""
    old, new = primaries
    async with MovingAddress(old.port) as address, connect(settings_for(address.port)) as redis:
        await asyncio.gather(*(redis.set(f"k{number}", 1) for number in range(8)))
        await demote(old)
        address.move(new.port)
        with pytest.raises(RedisUnavailable, match="READONLY"):
            await write(redis, way)
        await asyncio.gather(*(redis.set(f"k{number}", 2) for number in range(8)))
        async with connect(settings_for(new.port)) as there:
            assert await there.get("k7") == "2"


async def write(redis: RedisClient, way: str) -> None:
    """Write once, in one of the ways of the product."""
    if way == "command":
        await redis.set("k", "v")
    elif way == "script":
        await WRITE(redis, "v")
    else:
        pipeline = redis.pipeline(transaction=way == "transaction")
        pipeline.set("k", "v")
        await pipeline.execute()


async def test_blocking_command_reaches_the_new_primary(primaries: tuple[ValkeyServer, ValkeyServer]) -> None:
    """A client that blocks in the demoted primary ends its wait there and finds its element at the new one."""
    old, new = primaries
    async with (
        MovingAddress(old.port) as address,
        blocking_client(settings_for(address.port), max_block_s=1) as redis,
        connect(settings_for(new.port)) as there,
    ):
        assert await redis.blpop(["list"], timeout=0.1) is None
        await demote(old)
        address.move(new.port)
        await there.rpush("list", "x")

        async def popped() -> bool:
            with suppress(RedisUnavailable):
                return await redis.blpop(["list"], timeout=0.1) == ("list", "x")
            return False

        await until(popped, "the element of the new primary")


async def test_subscription_follows_to_the_new_primary(primaries: tuple[ValkeyServer, ValkeyServer]) -> None:
    """A subscription is refused nothing. It follows when another client of the process was refused a write."""
    old, new = primaries
    async with MovingAddress(old.port) as address:
        settings = settings_for(address.port)
        async with (
            connect(settings) as redis,
            blocking_client(settings, max_block_s=1) as listening,
            listening.pubsub(ignore_subscribe_messages=True) as subscription,
            connect(settings_for(new.port)) as there,
        ):
            await redis.set("k", "v")
            await subscription.subscribe("channel")
            await demote(old)
            address.move(new.port)
            with pytest.raises(RedisUnavailable):
                await redis.set("k", "v")

            async def heard() -> bool:
                await there.publish("channel", "hello")
                return bool(await subscription.get_message(timeout=0.1))

            await until(heard, "a message of the new primary")


async def test_server_that_stays_is_not_reconnected_at_each_refusal(
    primaries: tuple[ValkeyServer, ValkeyServer],
) -> None:
    """A full Redis sees a reconnect a second from a client, not one for each refused command."""
    old, _ = primaries
    async with MovingAddress(old.port) as address, connect(settings_for(address.port)) as redis:
        await redis.set("k", "v")
        await redis.config_set("maxmemory", 1)
        started = asyncio.get_running_loop().time()
        for _ in range(50):
            with pytest.raises(RedisUnavailable, match="OOM"):
                await redis.set("k", "v")
        seconds = asyncio.get_running_loop().time() - started
        assert address.connections <= 2 + seconds
