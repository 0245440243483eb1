"""Web routing: which sockets a response reaches and in which order, with several subscribers."""

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
    """Run a subscriber until everything is delivered."""
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)


@pytest.fixture
def gateway(redis: RedisClient, settings: Settings) -> SocketRegistry:
    """The socket registry of gateway g1."""
    return SocketRegistry(redis, settings, "g1")


async def state(redis: RedisClient, reply: Response) -> tuple[DeliveryState, str | None]:
    """Return the delivery record of a reply."""
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


async def test_all_joined_sockets_get_it_if_the_named_one_is_closed(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Every open socket of the user in the conversation gets it, on any gateway; closed ones leave the set."""
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
async def test_socket_of_another_user_never_gets_it(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry, metadata: dict[str, object]
) -> None:
    """Neither a named nor a joined socket of another user gets it; the response is KEPT for its own user."""
    await gateway.register("evas", "eva")
    await gateway.join("evas", "c1")
    reply = await replies.commit(response(metadata=metadata))
    await settle(settings, replies)
    assert await inbox(redis) == []
    assert await state(redis, reply) == (DeliveryState.KEPT, None)


async def test_two_racing_subscribers_keep_the_order(
    settings: Settings, redis: Any, replies: Replies, gateway: SocketRegistry
) -> None:
    """Sixty responses in three conversations arrive once and in order, although one of two subscribers dies."""
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


async def test_later_response_brings_earlier_ones_along(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Routing number 3 first routes 1, but not 2, which went to a phone; routing 1 again sends nothing."""
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
    """The gap is filled with the kept responses; the response itself comes from the stream."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    for _ in range(3):
        await replies.commit(response())
    await redis.zremrangebyscore(keys.REPLIES + "c1", "-inf", "+inf")
    await settle(settings, replies)
    assert [seq for _, _, seq in await inbox(redis)] == [1, 2, 3]


async def test_expired_conversation_is_not_created_again(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """A late response of an expired conversation reaches its socket and creates no hash without a TTL."""
    await gateway.register("s1", "ana")
    await replies.commit(response(metadata={"websocketId": "s1"}))
    await redis.delete(keys.CONVERSATION + "c1", keys.REPLIES + "c1")
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 0)]
    assert await redis.exists(keys.CONVERSATION + "c1") == 0


async def test_dead_letter_notice_is_sent_once(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """The notice goes to the user's socket as a failure; it takes no number and leaves no delivery record."""
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
    """After SCRIPT FLUSH, as after a restart of Redis, the batch is routed."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await redis.script_flush()
    await replies.commit(response())
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 1)]


async def test_a_frame_holds_the_response(
    redis: RedisClient, settings: Settings, replies: Replies, gateway: SocketRegistry
) -> None:
    """A gateway reads the whole response with its number and the unchanged text."""
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
    """Set a gateway's last heartbeat to ten seconds ago, as if it had been killed."""
    last = int(await redis.hget(keys.GATEWAYS, gateway) or 0)
    await redis.hset(keys.GATEWAYS, gateway, str(last - 10_000))


async def come_back(settings: Settings, redis: RedisClient, gateway: SocketRegistry) -> SocketRegistry:
    """Ana's socket `old` at g1, and `new` at g2, which has resumed c1; returns the registry of g2."""
    elsewhere = SocketRegistry(redis, settings, "g2")
    for one, socket in ((gateway, "old"), (elsewhere, "new")):
        await one.heartbeat()
        await one.register(socket, "ana")
    await elsewhere.join("new", "c1")
    return elsewhere


async def test_reply_to_a_dead_socket_reaches_the_reconnected_user(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """The named socket's gateway was killed and its key remains: the user's new socket gets the reply too."""
    await come_back(settings, redis, gateway)
    await fall_silent(redis, "g1")
    reply = await replies.commit(response(metadata={"websocketId": "old"}))
    await WebRouter(redis, settings).route(await committed(settings, redis))
    assert await inbox(redis, "g1") == [("old", "response", 1)]
    assert await inbox(redis, "g2") == [("new", "response", 1)]
    assert await state(redis, reply) == (DeliveryState.SENT, "new")


async def test_frames_of_a_dead_gateway_are_rerouted(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """Frames routed before the death was noticed move, in order, to the socket that resumed elsewhere."""
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


async def test_frames_are_not_rerouted_out_of_order(
    settings: Settings, redis: RedisClient, replies: Replies, gateway: SocketRegistry
) -> None:
    """A later reply has reached the new socket: the frame in the dead inbox is left for the client's `resume`."""
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
    """Return the entries that a subscriber reads."""
    stream = ResponseStream(redis, settings, "reader")
    await stream.ensure_group()
    try:
        return await stream.read() or await stream.read()
    finally:
        await stream.close()
