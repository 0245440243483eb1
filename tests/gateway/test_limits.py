"""The limits of users and addresses across all gateways."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from daemons.gateway.http.middleware import ConcurrencyLimit
from daemons.gateway.limits import FrameBudget
from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import PRUNE_GATEWAY_AFTER_MS, SocketRegistry
from msgctl.domain.errors import Unavailable
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.pipelining import AutoPipeline
from tests.support.gateway_clients import Client, Pipeline, gateways
from tools.support.daemons import until

Clients = Callable[..., Client]


async def test_requests_are_counted_across_gateways(settings: Settings) -> None:
    """The third request within a minute is refused at each gateway. Other users are not affected."""
    async with gateways(settings, 2, requests=2) as (first, second):
        answers = [await make().get("/api/messages/queue/stats") for make in (first, second, first)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].code == "too_many_requests"
        assert 1 <= int(answers[2].headers["retry-after"]) <= 30
        assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"requests";q=2;w=60'] * 3
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
        assert (await second("bia").get("/api/messages/queue/stats")).status == 200
        assert (await first().request("GET", "/healthz")).status == 200


async def test_frames_count_as_requests(settings: Settings, agent: Agent) -> None:
    """Frames count towards the limit. A refused frame gets an error, and the socket stays open."""
    async with gateways(settings, requests=1) as (make,):
        client = make()
        assert (await client.get("/api/messages/queue/stats")).status == 200
        async with client.socket() as chat:
            await chat.hear("connected")
            await chat.say("message", agentId=agent.id, content="oi", messageId="m")
            error = await chat.hear("error")
            assert (error["code"], error["messageId"]) == ("too_many_requests", "m")
            await chat.say("ping")
            await chat.hear("pong")


async def test_quota_refills(settings: Settings, redis: RedisClient) -> None:
    """The key of a quota expires, and once the bucket has refilled the next request is granted."""
    async with gateways(settings, requests=1) as (make,):
        client = make()
        assert await granted(client)
        assert not await granted(client)
        (key,) = await redis.keys(keys.QUOTA + "*")
        assert 0 < await redis.pttl(key) <= 60_000
        seconds, microseconds = await redis.time()
        await redis.set(key, seconds * 1000 + microseconds // 1000 + 500, px=60_000)
        await until(lambda: granted(client), "the bucket to have one more")


async def granted(client: Client) -> bool:
    """Return whether a request is accepted."""
    return (await client.get("/api/messages/queue/stats")).status == 200


async def test_tier_raises_limits_and_priorities(settings: Settings, agent: Agent, redis: RedisClient) -> None:
    """A premium token has twice the requests, its messages go two queues sooner; an unknown tier is none."""
    async with gateways(settings, requests=1, tiers=["premium:2:2"]) as (make,):
        premium, unknown = make(tier="premium"), make(tier="gold")
        for message_id, priority, queue in (("m", 5, 3), ("n", 2, 1)):
            answer = await premium.post(
                {"agentId": agent.id, "message": "oi", "messageId": message_id, "priority": priority}
            )
            assert answer.status == 202
            assert await redis.lrange(keys.RQ_QUEUE + keys.queue_name(queue), 0, -1) == [message_id]
        assert (await premium.get("/api/messages/queue/stats")).status == 429
        assert (await unknown.get("/api/messages/queue/stats")).status == 429


async def test_new_tier_causes_no_conflict(settings: Settings, agent: Agent) -> None:
    """A message that is repeated after its user became premium is the same message."""
    async with gateways(settings, tiers=["premium:1:4"]) as (make,):
        body = {"agentId": agent.id, "message": "oi", "messageId": "m"}
        assert (await make().post(body)).body == (await make(tier="premium").post(body)).body


async def test_messages_in_progress_are_limited(settings: Settings, agent: Agent, pipeline: Pipeline) -> None:
    """The third message is refused until one of the two has ended. A repeated message does not count."""
    async with gateways(settings, messages=2) as (make,):
        client = make()
        body = {"agentId": agent.id, "message": "oi"}
        for name in ("a", "b"):
            assert (await client.post({**body, "messageId": name})).status == 202
        assert (await client.post({**body, "messageId": "b"})).status == 202
        for end in (pipeline.answer, pipeline.fail):
            refused = await client.post(body)
            assert (refused.status, refused.code) == (429, "too_many_requests")
            assert int(refused.headers["retry-after"]) >= 1
            await end()
            assert (await client.post(body)).status == 202


async def test_sockets_of_a_user_are_limited(settings: Settings, redis: RedisClient) -> None:
    """One more at either gateway is closed with 4429; when one goes, there is room; nothing is left at the end."""
    async with gateways(settings, 2, sockets=2) as (first, second):
        async with first().socket() as one, second().socket() as two:
            await one.hear("connected")
            await two.hear("connected")
            for make in (first, second):
                async with make().socket() as third:
                    assert (await third.closed())[0] == 4429
            async with second("bia").socket() as other:
                await other.hear("connected")
        await until(lambda: opens(first()), "the places to be free")
        await until(lambda: is_empty(redis), "the counts to be gone")


async def opens(client: Client) -> bool:
    """Return whether a socket is accepted."""
    async with client.socket() as chat:
        try:
            await chat.hear("connected")
        except ConnectionClosed:
            return False
        return True


async def is_empty(redis: RedisClient) -> bool:
    """Return whether no counter of closed sockets is left."""
    return not await redis.keys(keys.OCCUPANTS + "*")


async def test_sockets_of_a_dead_gateway_do_not_count(settings: Settings, redis: RedisClient) -> None:
    """Sockets of a gateway without a heartbeat do not count."""
    key = keys.OCCUPANTS + "user:ana"
    await redis.hset(keys.GATEWAYS, "dead", "1000")
    await redis.hset(key, "dead", "2")
    async with gateways(settings, sockets=2) as (make,), make().socket() as chat:
        await chat.hear("connected")
        assert "dead" not in await redis.hgetall(key)


async def test_sockets_of_an_address_are_limited(settings: Settings) -> None:
    """The limit of an address counts the sockets of all users."""
    async with gateways(settings, address_sockets=1) as (make,), make("ana").socket() as one:
        await one.hear("connected")
        async with make("bia").socket() as two:
            assert (await two.closed())[0] == 4429


async def test_address_behind_a_trusted_proxy_is_that_of_the_client(settings: Settings) -> None:
    """X-Forwarded-For is used if it comes from a trusted proxy."""
    gateway = settings.gateway.model_copy(update={"trusted_proxies": ["127.0.0.1"]})
    one_there, another_there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    async with (
        gateways(settings.model_copy(update={"gateway": gateway}), address_sockets=1) as (make,),
        make().socket(additional_headers=one_there) as one,
        make().socket(additional_headers=another_there) as two,
    ):
        await one.hear("connected")
        await two.hear("connected")
        async with make().socket(additional_headers=one_there) as three:
            assert (await three.closed())[0] == 4429


async def test_frames_of_a_socket_are_limited(settings: Settings) -> None:
    """A socket that floods is closed with 4429."""
    async with gateways(settings, frames=3) as (make,), make().socket() as chat:
        await chat.hear("connected")
        for _ in range(4):
            await chat.say("ping")
        for _ in range(3):
            await chat.hear("pong")
        assert (await chat.closed())[0] == 4429


def test_frame_budget_refills() -> None:
    """The budget starts with one minute and refills evenly. Without a limit any number is accepted."""
    budget = FrameBudget(60, now=0.0)
    assert [budget.try_consume(0.0) for _ in range(61)] == [True] * 60 + [False]
    assert budget.try_consume(2.0)
    assert not budget.try_consume(2.0)
    assert all(FrameBudget(0, now=0.0).try_consume(0.0) for _ in range(10))


async def test_overload_is_refused_immediately(
    settings: Settings, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one request in flight the next one gets 503 with Retry-After. Probes are still answered."""
    held, begun = asyncio.Event(), asyncio.Event()
    accept = AutoPipeline.run_script

    async def hang(self: Any, *words: Any) -> Any:
        begun.set()
        await held.wait()
        return await accept(self, *words)

    async with gateways(settings, in_hand=1) as (make,):
        monkeypatch.setattr(AutoPipeline, "run_script", hang)
        first = asyncio.create_task(make().post({"agentId": agent.id, "message": "oi"}))
        await begun.wait()
        refused = await make().get("/api/messages/queue/stats")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "unavailable", "1")
        assert (await make().get("/healthz")).status == (await make().get("/readyz")).status == 200
        held.set()
        assert (await first).status == 202
        assert (await make().get("/api/messages/queue/stats")).status == 200


def test_concurrency_limit_counts_ended_requests() -> None:
    """A failed request is no longer in flight, and without a limit all are accepted."""
    workload = ConcurrencyLimit(1)
    with pytest.raises(KeyError), workload:
        raise KeyError
    with workload, pytest.raises(Unavailable), workload:
        pass
    unbounded = ConcurrencyLimit(0)
    with unbounded, unbounded:
        pass


@pytest.mark.parametrize("depth", [16, 17, 2000])
async def test_metadata_depth_is_limited(depth: int, client: Client, agent: Agent) -> None:
    """Sixteen levels are accepted. More are refused with the name of the field, at any depth."""
    nested = '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
    body = f'{{"agentId":"{agent.id}","message":"oi","channelMetadata":{nested}}}'
    answer = await client.post(body.encode())
    if depth > 1000:
        assert answer.status in {400, 422}
    elif depth > 16:
        assert (answer.status, answer.json["error"]["details"][0]["field"]) == (422, "channelMetadata")
    else:
        assert answer.status == 202


async def test_dead_gateways_are_forgotten(settings: Settings, redis: RedisClient) -> None:
    """A gateway without a heartbeat for an hour is no longer listed. A live one is."""
    now = (await redis.time())[0] * 1000
    await redis.hset(
        keys.GATEWAYS, mapping={"gone": now - PRUNE_GATEWAY_AFTER_MS - 60_000, "silent": now - 60_000}
    )
    await SocketRegistry(redis, settings, "this").renew([])
    assert set(await redis.hkeys(keys.GATEWAYS)) == {"silent", "this"}
