"""Web: which sockets a response reaches, in which order, whoever routes it."""

import asyncio
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from msgctl import contracts
from msgctl.config import Settings
from msgctl.delivery.record import DeliveryState, find
from msgctl.delivery.sockets import Sockets
from msgctl.delivery.stream import ResponseStream
from msgctl.delivery.web import Web
from msgctl.messages import Channel, Response
from tests.delivery.desk import Desk
from tests.delivery.replies import Replies, response
from tests.processes import until


async def inbox(redis: Any, gateway: str = "g1") -> list[tuple[str, str, int]]:
    """What a gateway is to write: socket, kind and number of each frame, in order."""
    entries = await redis.xrange(contracts.INBOX + gateway)
    return [(fields["socket"], fields["kind"], int(fields["seq"])) for _, fields in entries]


async def settle(settings: Settings, replies: Replies) -> None:
    """Let a subscriber work until nothing is left to deliver."""
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)


async def caught_up(stream: ResponseStream, replies: Replies) -> None:
    """Return once the group has read everything and acknowledged it."""

    async def done() -> bool:
        [group] = await replies.redis.xinfo_groups(contracts.RESPONSES)
        last = await replies.redis.xrevrange(contracts.RESPONSES, count=1)
        return group["pending"] == 0 and (not last or group["last-delivered-id"] == last[0][0])

    await until(done, "everything to be delivered")


@pytest.fixture
def gateway(redis: Redis, settings: Settings) -> Sockets:
    """Gateway g1's sockets."""
    return Sockets(redis, settings, "g1")


async def state(redis: Redis, reply: Response) -> tuple[DeliveryState, str | None]:
    """What the record of a reply says."""
    record = await find(redis, reply.message_id)
    assert record is not None
    return record.state, record.provider_id


async def test_the_named_socket_gets_it(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
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
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
) -> None:
    """Every living socket of that user in the conversation, on any gateway; dead ones leave the set."""
    elsewhere = Sockets(redis, settings, "g2")
    await gateway.register("s1", "ana")
    await elsewhere.register("s2", "ana")
    await gateway.join("s1", "c1")
    await elsewhere.join("s2", "c1")
    await redis.sadd(contracts.SOCKETS + "c1", "dead")
    await replies.commit(response(metadata={"websocketId": "gone"}))
    await settle(settings, replies)
    assert await inbox(redis, "g1") == [("s1", "response", 1)]
    assert await inbox(redis, "g2") == [("s2", "response", 1)]
    assert await redis.smembers(contracts.SOCKETS + "c1") == {"s1", "s2"}


@pytest.mark.parametrize("metadata", [{"websocketId": "evas"}, {}, {"websocketId": 7}, {"websocketId": {"a": 1}}])
async def test_another_users_socket_never_hears_of_it(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets, metadata: dict[str, object]
) -> None:
    """Neither by being named nor by having joined; the response is KEPT for its own user."""
    await gateway.register("evas", "eva")
    await gateway.join("evas", "c1")
    reply = await replies.commit(response(metadata=metadata))
    await settle(settings, replies)
    assert await inbox(redis) == []
    assert await state(redis, reply) == (DeliveryState.KEPT, None)


async def test_two_racing_subscribers_keep_the_order(
    settings: Settings, redis: Any, replies: Replies, gateway: Sockets
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
    entries = await redis.xrange(contracts.INBOX + "g1")
    for lane in range(3):
        got = [int(fields["seq"]) for _, fields in entries if fields["conversation"] == f"c{lane}"]
        assert got == list(range(1, 21))


async def test_the_later_one_first_brings_the_earlier_along(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
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
    web = Web(redis, settings)
    await web.route([entries[2]])
    assert await inbox(redis) == [("s1", "response", 1), ("s1", "response", 3)]
    await web.route([entries[0], entries[2]])
    assert len(await inbox(redis)) == 2


async def test_a_reply_that_is_no_longer_kept_is_routed_from_the_stream(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
) -> None:
    """The gap is filled with what is there, and the response itself never depends on it."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    for _ in range(3):
        await replies.commit(response())
    await redis.zremrangebyscore(contracts.REPLIES + "c1", "-inf", "+inf")
    await settle(settings, replies)
    assert [seq for _, _, seq in await inbox(redis)] == [1, 2, 3]


async def test_a_forgotten_conversation_does_not_come_back(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
) -> None:
    """A late response of an expired conversation reaches its socket and leaves no hash without a TTL behind."""
    await gateway.register("s1", "ana")
    await replies.commit(response(metadata={"websocketId": "s1"}))
    await redis.delete(contracts.CONVERSATION + "c1", contracts.REPLIES + "c1")
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 0)]
    assert await redis.exists(contracts.CONVERSATION + "c1") == 0


async def test_a_dead_letter_is_told_once(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
) -> None:
    """The news goes to the user's socket as a failure; it takes no number and leaves no record of a delivery."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await replies.bury("lost", "c1")
    stream = ResponseStream(redis, settings, "one")
    await stream.ensure_group()
    entries = await stream.read() or await stream.read()
    await stream.close()
    web = Web(redis, settings)
    await web.route(entries)
    await web.route(entries)
    assert await inbox(redis) == [("s1", "failure", 0)]
    assert await find(redis, "lost") is None


async def test_a_forgotten_script_is_loaded_again(
    settings: Settings, redis: Redis, replies: Replies, gateway: Sockets
) -> None:
    """After SCRIPT FLUSH, as after a restart of Redis, the batch goes through all the same."""
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    await redis.script_flush()
    await replies.commit(response())
    await settle(settings, replies)
    assert await inbox(redis) == [("s1", "response", 1)]


async def test_a_frame_holds_the_response(
    redis: Redis, settings: Settings, replies: Replies, gateway: Sockets
) -> None:
    """What a gateway reads is the whole response with its number, the text to the character."""
    await gateway.register("s1", "ana")
    reply = await replies.commit(response(metadata={"websocketId": "s1"}, text='não "é" 😀\n'))
    await settle(settings, replies)
    async for frames in gateway.frames():
        [frame] = frames
        break
    assert (frame.socket_id, frame.conversation_id, frame.seq, frame.kind) == ("s1", "c1", 1, "response")
    assert msgspec.json.decode(frame.body, type=Response) == reply
