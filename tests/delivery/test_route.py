"""Web: which sockets a response reaches, in which order, whoever routes it."""

import asyncio
from typing import Any

import msgspec
import pytest

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.delivery.response_stream import ResponseStream, StreamEntry
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.messages import Channel, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, caught_up, inbox
from tools.support.daemons import until


async def settle(settings: Settings, replies: Replies) -> None:
    """Let a subscriber work until nothing is left to deliver."""
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)


@pytest.fixture
def gateway(redis: RedisClient, settings: Settings) -> SocketRegistry:
    """Gateway g1's sockets."""
    return SocketRegistry(redis, settings, "g1")


async def state(redis: RedisClient, reply: Response) -> tuple[DeliveryState, str | None]:
    """What the record of a reply says."""
    record = await find_record(redis, reply.message_id)
    assert record is not None
    return record.state, record.provider_id


async def test_the_named_socket_gets_it(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Only the socket that `websocketId` names, although another one joined the conversation."""
    await gateway.register("s1", "ana")
    await gateway.register("s2", "ana")
    await gateway.join("s2", "c1")
    reply = await replies.commit(response(metadata={"websocketId": "s1"}))
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 1)]
    assert await state(redis, reply) == (DeliveryState.SENT, "s1")


async def test_without_a_living_named_socket_all_that_joined_get_it(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Every living socket of that user in the conversation, on any gateway; dead ones leave the set."""
    elsewhere = SocketRegistry(redis, settings, "g2")
    await gateway.register("s1", "ana")
    await elsewhere.register("s2", "ana")
    await gateway.join("s1", "c1")
    await elsewhere.join("s2", "c1")
    await redis.sadd(keys.SOCKETS + "c1", "dead")
    await replies.commit(response(metadata={"websocketId": "gone"}))
    await settle(settings, replies)
    assert await inbox(redis, "g1") == [("s1", "response", 1)]
    assert await inbox(redis, "g2") == [("s2", "response", 1)]
    assert await redis.smembers(keys.SOCKETS + "c1") == {"s1", "s2"}


@pytest.mark.parametrize("metadata", [{"websocketId": "evas"}, {}, {"websocketId": 7}, {"websocketId": {"a": 1}}])
async def test_another_users_socket_never_hears_of_it(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry, metadata: dict[str, object]
) -> None:
    """Neither by being named nor by having joined; the response is KEPT for its own user."""
    await gateway.register("evas", "eva")
    await gateway.join("evas", "c1")
    reply = await replies.commit(response(metadata=metadata))
    await settle(settings, replies)
    assert await inbox(redis) == []
    assert await state(redis, reply) == (DeliveryState.KEPT, None)


async def test_two_racing_subscribers_keep_the_order(
    settings: Settings, redis: Any, replies: Replies, gateway: SocketRegistry
) -> None:
    """Sixty responses, three conversations, two subscribers, one killed in between: each once, in order."""
    await gateway.register("s1", "ana")
    for lane in range(3):
        await gateway.join("s1", f"c{lane}")
    async with Desk(settings, "a") as first, Desk(settings, "b") as second:
        for number in range(20):
            await asyncio.gather(*(replies.commit(response(conversation=f"c{lane}")) for lane in range(3)))
            if number == 10:
                await first.kill()
        async with Desk(settings, "c"):
            await caught_up(second.stream, replies)
    entries = await redis.xrange(keys.INBOX + "g1")
    for lane in range(3):
        got = [int(fields["seq"]) for _, fields in entries if fields["conversation"] == f"c{lane}"]
        assert got == list(range(1, 21))


async def test_the_later_one_first_brings_the_earlier_along(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Whoever routes number 3 routes 1 before it, but not 2, which went to a phone; then 1 is nothing new."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await replies.commit(response())
    await replies.commit(response(Channel.TELEGRAM, {"chatId": 1}))
    await replies.commit(response())
    stream = ResponseStream(redis, settings, "one")
    await stream.ensure_group()
    entries = await stream.read() or await stream.read()
    await stream.close()
    web = WebRouter(redis, settings)
    await web.route([entries[2]])
    assert await inbox(redis) == [("s1", "response", 1), ("s1", "response", 3)]
    await web.route([entries[0], entries[2]])
    assert len(await inbox(redis)) == 2


async def test_a_reply_that_is_no_longer_kept_is_routed_from_the_stream(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """The gap is filled with what is there, and the response itself never depends on it."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    for _ in range(3):
        await replies.commit(response())
    await redis.zremrangebyscore(keys.REPLIES + "c1", "-inf", "+inf")
    await settle(settings, replies)
    assert [seq for _, _, seq in await inbox(redis)] == [1, 2, 3]


async def test_a_forgotten_conversation_does_not_come_back(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """A late response of an expired conversation reaches its socket and leaves no hash without a TTL behind."""
    await gateway.register("s1", "ana")
    await replies.commit(response(metadata={"websocketId": "s1"}))
    await redis.delete(keys.CONVERSATION + "c1", keys.REPLIES + "c1")
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 0)]
    assert await redis.exists(keys.CONVERSATION + "c1") == 0


async def test_a_dead_letter_is_told_once(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """The news goes to the user's socket as a failure; it takes no number and leaves no record of a delivery."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await replies.bury("lost", "c1")
    stream = ResponseStream(redis, settings, "one")
    await stream.ensure_group()
    entries = await stream.read() or await stream.read()
    await stream.close()
    web = WebRouter(redis, settings)
    await web.route(entries)
    await web.route(entries)
    assert await inbox(redis) == [("s1", "failure", 0)]
    assert await find_record(redis, "lost") is None


async def test_a_forgotten_script_is_loaded_again(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """After SCRIPT FLUSH, as after a restart of Redis, the batch goes through all the same."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await redis.script_flush()
    await replies.commit(response())
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 1)]


async def test_a_frame_holds_the_response(
    redis: RedisClient, settings: Settings, replies: Replies, gateway: SocketRegistry
) -> None:
    """What a gateway reads is the whole response with its number, the text to the character."""
    await gateway.register("s1", "ana")
    reply = await replies.commit(response(metadata={"websocketId": "s1"}, text='não "é" 😀\n'))
    await settle(settings, replies)
    async for frames in gateway.read_frames():
        [frame] = frames
        break
    assert (frame.socket_id, frame.conversation_id, frame.seq, frame.kind) == ("s1", "c1", 1, "response")
    carried = msgspec.structs.replace(reply, stream_id=None)  # the entry itself does not know its own id
    assert msgspec.json.decode(frame.body, type=Response) == carried


async def fall_silent(redis: RedisClient, gateway: str) -> None:
    """Let a gateway's last sign of life be ten seconds old, as if it had been killed."""
    last = int(await redis.hget(keys.GATEWAYS, gateway) or 0)
    await redis.hset(keys.GATEWAYS, gateway, str(last - 10_000))


async def come_back(settings: Settings, redis: RedisClient, gateway: SocketRegistry) -> SocketRegistry:
    """Ana's socket `old` at g1, and `new` at g2, which has resumed c1; the sockets of g2."""
    elsewhere = SocketRegistry(redis, settings, "g2")
    for one, socket in ((gateway, "old"), (elsewhere, "new")):
        await one.heartbeat()
        await one.register(socket, "ana")
    await elsewhere.join("new", "c1")
    return elsewhere


async def test_a_reply_finds_who_came_back_although_it_names_a_dead_socket(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """The named socket's gateway was killed, its key lives on: the reply goes to the user's new socket as well."""
    await come_back(settings, redis, gateway)
    await fall_silent(redis, "g1")
    reply = await replies.commit(response(metadata={"websocketId": "old"}))
    await WebRouter(redis, settings).route(await committed(settings, redis))
    assert await inbox(redis, "g1") == [("old", "response", 1)]
    assert await inbox(redis, "g2") == [("new", "response", 1)]
    assert await state(redis, reply) == (DeliveryState.SENT, "new")


async def test_what_waits_for_a_dead_gateway_is_inherited(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Routed before the silence was noticed: it moves, in order, to the socket that has resumed elsewhere."""
    await come_back(settings, redis, gateway)
    for conversation in ("c1", "c1", "c2"):
        await replies.commit(response(metadata={"websocketId": "old"}, conversation=conversation))
    web = WebRouter(redis, settings)
    await web.route(await committed(settings, redis))
    assert len(await inbox(redis, "g1")) == 3
    await web.reroute_frames()
    assert await inbox(redis, "g2") == []
    await fall_silent(redis, "g1")
    await web.reroute_frames()
    await web.reroute_frames()
    assert await inbox(redis, "g2") == [("new", "response", 1), ("new", "response", 2)]
    # Nobody has come back to c2: `resume` has it. And should g1 come back, it knows whose went elsewhere.
    assert await inbox(redis, "g1") == [("old", "response", 1), ("old", "moved", 1), ("old", "moved", 2)]
    woken = SocketRegistry(redis, settings, "g1")
    frames = woken.read_frames()
    assert [frame.kind for frame in await anext(frames)] == ["response", "moved", "moved"]

    async def read_on() -> None:
        await anext(frames)

    async def is_read() -> bool:
        return await inbox(redis, "g1") == []

    reading = asyncio.create_task(read_on())
    await until(is_read, "what was read to be dropped")
    assert await woken.count_lost_frames() == 0
    await cancel(reading)


async def test_nothing_is_inherited_out_of_order(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """A later reply has reached the new socket: the one in the dead inbox is left for the client's `resume`."""
    elsewhere = await come_back(settings, redis, gateway)
    for socket in ("old", "new"):
        await replies.commit(response(metadata={"websocketId": socket}))
    web = WebRouter(redis, settings)
    await web.route(await committed(settings, redis))
    await fall_silent(redis, "g1")
    await web.reroute_frames()
    assert await inbox(redis, "g2") == [("new", "response", 2)]
    missed = await elsewhere.find_missed("c1", "ana", 0)
    assert [reply.seq for reply in missed.responses] == [1, 2]


async def committed(settings: Settings, redis: RedisClient) -> list[StreamEntry]:
    """What a subscriber reads."""
    stream = ResponseStream(redis, settings, "reader")
    await stream.ensure_group()
    try:
        return await stream.read() or await stream.read()
    finally:
        await stream.close()
