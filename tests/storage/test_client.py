"""The client's one translation of outages, on a Redis of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import RedisError as RedisPyError

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.queue.rq_registration import RqRegistration
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client, connect, describe_redis, ping_new_connection
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

WRITE = Script("return redis.call('SET', 'k', ARGV[1])")
WRITES = ["SET", "k", "v"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A Redis that the test may fill or stop."""
    async with ValkeyServer(tmp_path / "valkey") as valkey:
        yield valkey


@pytest.fixture
def own(server: ValkeyServer) -> Settings:
    """Settings that lead to it."""
    return Settings.model_validate({"redis": {"host": "127.0.0.1", "port": server.port, "timeout": 1.0}})


@pytest.fixture
async def client(own: Settings) -> AsyncIterator[RedisClient]:
    """A client of it."""
    async with connect(own) as client:
        yield client


async def test_unreachable_redis_is_named(settings: Settings) -> None:
    """A command, a pipeline, a subscription, a script and RQ's code raise the same error, and keep its cause."""
    gone = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 9, "timeout": 1.0})})
    async with blocking_client(gone, max_block_s=0) as redis, redis.pubsub() as subscription:
        pipeline = redis.pipeline(transaction=False)
        pipeline.set("k", "v")
        for attempt in (
            redis.get("k"),
            pipeline.execute(),
            subscription.subscribe("channel"),
            WRITE(redis, "v"),
            AutoPipeline(redis).run_command(*WRITES),
            ping_new_connection(gone),
            RqRegistration(gone, "w1").register(),
        ):
            with pytest.raises(RedisUnavailable) as caught:
                await attempt
            assert caught.value.message.startswith(
                f"Redis at {describe_redis(gone)} does not answer (ConnectionError)."
            )
            assert isinstance(caught.value.__cause__, RedisPyError)


async def test_full_redis_is_unavailable_for_writes(client: RedisClient, own: Settings) -> None:
    """OOM is the same error whichever way the write is sent; reads go on."""
    await client.config_set("maxmemory", 1)
    text = f"Redis at {describe_redis(own)} refuses writes: "
    for transaction in (True, False):
        pipeline = client.pipeline(transaction=transaction)
        pipeline.set("k", "v")
        with pytest.raises(RedisUnavailable, match="refuses writes"):
            await pipeline.execute()
    pipeline = client.pipeline(transaction=False)
    pipeline.get("k")
    pipeline.set("k", "v")
    missing, refusal = await pipeline.execute(raise_on_error=False)
    assert missing is None
    assert isinstance(refusal, RedisUnavailable)
    for attempt in (
        client.set("k", "v"),
        WRITE(client, "v"),
        AutoPipeline(client).run_command(*WRITES),
        ping_new_connection(own, check_write=True),
    ):
        with pytest.raises(RedisUnavailable) as caught:
            await attempt
        assert caught.value.message.startswith(text)
    assert await client.get("k") is None


async def test_replica_is_unavailable_for_writes(client: RedisClient) -> None:
    """READONLY and MASTERDOWN pass once the failover is over, so they are no fault of the command."""
    await client.replicaof("127.0.0.1", "9")
    with pytest.raises(RedisUnavailable, match="refuses writes: "):
        await client.set("k", "v")
    await client.config_set("replica-serve-stale-data", "no")
    with pytest.raises(RedisUnavailable, match="refuses writes: "):
        await client.get("k")


async def test_faults_of_a_command_stay_redis_pys(client: RedisClient) -> None:
    """Callers tell these apart by redis-py's types: NOSCRIPT, WRONGTYPE, BUSYGROUP."""
    await client.set("k", "v")
    await client.xgroup_create("s", "g", mkstream=True)
    with pytest.raises(NoScriptError):
        await client.evalsha("0" * 40, 0)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await client.lrange("k", 0, -1)
    with pytest.raises(ResponseError, match="BUSYGROUP"):
        await client.xgroup_create("s", "g")
    pipeline = client.pipeline(transaction=False)
    pipeline.evalsha("0" * 40, 0)
    pipeline.lrange("k", 0, -1)
    first, second = await pipeline.execute(raise_on_error=False)
    assert (type(first), type(second)) == (NoScriptError, ResponseError)


async def test_subscription_survives_a_restart(client: RedisClient, own: Settings, server: ValkeyServer) -> None:
    """While Redis is down receiving raises; afterwards redis-py subscribes again by itself."""
    async with blocking_client(own, max_block_s=1) as listening, listening.pubsub() as subscription:
        await subscription.subscribe("channel")
        assert await subscription.get_message(timeout=1)
        await server.stop()
        for _ in range(2):
            with pytest.raises(RedisUnavailable, match="does not answer"):
                await subscription.get_message(timeout=1)
        await server.start()
        assert (await subscription.get_message(timeout=1) or {})["type"] == "subscribe"
        await client.publish("channel", "hello")
        assert (await subscription.get_message(timeout=1) or {})["data"] == "hello"


async def test_answers_have_the_declared_types(client: RedisClient) -> None:
    """`decoded` tells the type checker what redis-py's classes return on a connection that decodes."""
    await client.hset("h", mapping={"a": "1"})
    await client.rpush("l", "x")
    await client.sadd("m", "x")
    await client.xadd("s", {"a": "1"}, id="1-0")
    await client.set("k", "v")
    assert await client.hget("h", "a") == "1"
    assert await client.hgetall("h") == {"a": "1"}
    assert await client.hmget("h", ["a", "b"]) == ["1", None]
    assert await client.hvals("h") == ["1"]
    assert await client.lindex("l", 0) == "x"
    assert await client.lrange("l", 0, -1) == ["x"]
    assert await client.smembers("m") == {"x"}
    assert await client.xrange("s") == await client.xrevrange("s") == [("1-0", {"a": "1"})]
    assert await client.mget(["k", "none"]) == ["v", None]
    assert await client.getdel("k") == "v"
    assert await client.blpop(["l"], timeout=1) == ("l", "x")
    assert await client.script_load("return 1") == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    assert await client.ping() is True
