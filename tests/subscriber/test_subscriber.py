"""The subscriber as a process: delivery, crash, outage, signals."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.domain.messages import Channel
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tools.support.daemons import Daemon, until

CHAT = {"chatId": 42}


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    """The fake providers, in strict mode."""
    async with Providers() as providers:
        yield providers


@pytest.fixture
def settings(settings: Settings, providers: Providers) -> Settings:
    """The common settings with Telegram at the fake provider and fast takeovers."""
    telegram = {
        "base_url": providers.url,
        "token": "123456:AAF-secret_of_the_bot",
        "chat_rate": 1000,
        "rate": 1000,
        "unknown": "keep",
    }
    document = settings.model_dump() | {"telegram": telegram, "delivery": {"takeover": 2, "timeout": 5}}
    return Settings.model_validate(document)


@pytest.fixture
def replies(redis: RedisClient) -> Replies:
    """Commits replies as the worker does."""
    return Replies(redis)


async def has_state(redis: RedisClient, message_id: str, state: DeliveryState) -> bool:
    """Return whether a delivery is in a state."""
    record = await find_record(redis, message_id)
    return record is not None and record.state is state


async def reached(redis: RedisClient, message_id: str, state: DeliveryState) -> None:
    """Wait until a delivery is in a state."""
    await until(lambda: has_state(redis, message_id, state), f"{message_id} to be {state}")


async def test_subscriber_delivers_and_deregisters_on_sigterm(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Web and phone work. It is registered while it runs. SIGTERM deregisters it and ends it with 0."""
    sockets = SocketRegistry(redis, settings, "g1")
    await sockets.register("s1", "ana")
    async with Daemon("subscriber", settings) as daemon:
        assert await redis.hlen(keys.SUBSCRIBERS) == 1
        web = await replies.commit(response(metadata={"websocketId": "s1"}))
        phone = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await reached(redis, web.message_id, DeliveryState.SENT)
        await reached(redis, phone.message_id, DeliveryState.SENT)
        daemon.process.terminate()
        assert await daemon.exited() == 0
    assert await redis.hlen(keys.SUBSCRIBERS) == 0
    assert await redis.xinfo_consumers(keys.RESPONSES, keys.RESPONSES_GROUP) == []
    assert phone.message_id in daemon.output
    assert "AAF-secret_of_the_bot" not in daemon.output


async def test_external_response_is_delivered_once(
    settings: Settings, redis: RedisClient, providers: Providers
) -> None:
    """With three subscribers, the provider is called once."""
    foreign = response(Channel.TELEGRAM, CHAT, message_id="foreign", user=None)
    async with Daemon("subscriber", settings), Daemon("subscriber", settings), Daemon("subscriber", settings):

        async def all_listen() -> bool:
            return sum(client["psub"] == "1" for client in await redis.client_list()) >= 3

        await until(all_listen, "three subscriptions")
        await redis.publish("pubsub:response:telegram", foreign.to_json())
        await reached(redis, "foreign", DeliveryState.SENT)
    assert len(providers.requests) == 1


async def test_deliveries_of_a_killed_subscriber_are_taken_over(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A send in flight at the kill becomes UNKNOWN. Another subscriber sends the next ones in order."""
    providers.answers.append("hang")
    async with Daemon("subscriber", settings) as doomed:
        first = await replies.commit(response(Channel.TELEGRAM, CHAT, text="1"))
        await until(lambda: providers.requests, "the call")
        behind = [await replies.commit(response(Channel.TELEGRAM, CHAT, text=text)) for text in ("2", "3")]
        doomed.process.kill()
        await doomed.exited()
    async with Daemon("subscriber", settings):
        await reached(redis, first.message_id, DeliveryState.UNKNOWN)
        for reply in behind:
            await reached(redis, reply.message_id, DeliveryState.SENT)
    assert providers.texts() == ["1", "2", "3"]


async def test_sigterm_lets_a_send_in_flight_end(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A send in flight at SIGTERM becomes SENT. Responses behind it are left to the next subscriber."""
    providers.slow = lambda _request: 0.7
    async with Daemon("subscriber", settings) as daemon:
        first = await replies.commit(response(Channel.TELEGRAM, CHAT, text="1"))
        second = await replies.commit(response(Channel.TELEGRAM, CHAT, text="2"))
        await until(lambda: providers.requests, "the call")
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.exited() == 0
    assert await has_state(redis, first.message_id, DeliveryState.SENT)
    assert await find_record(redis, second.message_id) is None
    async with Daemon("subscriber", settings):
        await reached(redis, second.message_id, DeliveryState.SENT)


async def test_subscriber_survives_an_outage_of_redis(
    settings: Settings, tmp_path: Path, providers: Providers
) -> None:
    """Redis restarts. The log has two lines, and the same process delivers and imports later responses."""
    server = ValkeyServer(tmp_path / "valkey", password="x")
    await server.start()
    own = settings.redis.model_copy(update={"port": server.port, "password": type(settings.redis.password)("x")})
    alone = settings.model_copy(update={"redis": own})
    try:
        async with Daemon("subscriber", alone) as daemon:
            await server.stop()
            await daemon.said("Redis client error")
            await server.start()
            await daemon.said("Redis answers again")
            async with connect(alone) as redis:
                reply = await Replies(redis).commit(response(Channel.TELEGRAM, CHAT))
                await reached(redis, reply.message_id, DeliveryState.SENT)
                foreign = response(Channel.TELEGRAM, CHAT, message_id="foreign", user=None).to_json()
                await until(lambda: redis.publish("pubsub:response:telegram", foreign), "somebody to listen")
                await reached(redis, "foreign", DeliveryState.SENT)
    finally:
        await server.stop()


async def test_idle_subscriber_blocks_in_redis(settings: Settings, redis: RedisClient) -> None:
    """An idle subscriber makes a few maintenance calls a second and blocks otherwise."""

    async def calls() -> int:
        statistics: Any = await redis.info("commandstats")
        names = ("cmdstat_evalsha", "cmdstat_xautoclaim", "cmdstat_xreadgroup")
        return sum(statistics[name]["calls"] for name in names if name in statistics)

    async with Daemon("subscriber", settings):
        before = await calls()
        await asyncio.sleep(3)
        after = await calls()
    assert 0 < after - before < 12


async def test_redis_without_append_only_file_is_refused(settings: Settings, tmp_path: Path) -> None:
    """The subscriber does not start, says how to fix it, and exits with 78."""
    server = ValkeyServer(tmp_path / "valkey", password="x")
    await server.start()
    own = settings.redis.model_copy(update={"port": server.port, "password": type(settings.redis.password)("x")})
    alone = settings.model_copy(update={"redis": own})
    try:
        async with connect(alone) as redis:
            await redis.config_set("appendonly", "no")
        async with Daemon("subscriber", alone) as daemon:
            assert await daemon.exited() == 78
        assert "CONFIG SET appendonly yes" in daemon.output
    finally:
        await server.stop()
