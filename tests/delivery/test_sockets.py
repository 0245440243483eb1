"""A gateway's socket registry: expiry, outages, missed responses, and the inbox."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.domain.errors import NotFound
from msgctl.domain.messages import Channel
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.replies import Replies, response
from tools.support.daemons import PATIENCE, until


@pytest.fixture
def sockets(redis: RedisClient, settings: Settings) -> SocketRegistry:
    """Gateway g1's."""
    return SocketRegistry(redis, settings, "g1")


async def push(redis: RedisClient, number: int) -> None:
    """Put a frame into g1's inbox, as routing does."""
    await redis.xadd(
        keys.INBOX + "g1",
        {"socket": "s1", "conversation": "c1", "seq": number, "kind": "response", "body": "{}"},
    )


async def test_socket_lives_as_long_as_it_is_renewed(
    redis: RedisClient, settings: Settings, sockets: SocketRegistry
) -> None:
    """A registered socket expires; a renewal extends it and is a heartbeat of the gateway."""
    await sockets.register("s1", "ana")
    assert await redis.hgetall(keys.SOCKET + "s1") == {"gateway": "g1", "user": "ana"}
    ttl = settings.gateway.socket_ttl * 1000
    await redis.pexpire(keys.SOCKET + "s1", 1000)
    await sockets.renew(["s1"])
    assert ttl / 2 < await redis.pttl(keys.SOCKET + "s1") <= ttl
    assert int(await redis.hget(keys.GATEWAYS, "g1") or 0) > 0


async def test_renewal_restores_expired_sockets(redis: RedisClient, sockets: SocketRegistry) -> None:
    """After an outage longer than the TTL an open socket is registered again, with its conversations."""
    await sockets.register("s1", "ana")
    await sockets.join("s1", "c1")
    await redis.delete(keys.SOCKET + "s1", keys.SOCKETS + "c1")
    await sockets.renew(["s1", "never-registered"])
    assert await redis.hget(keys.SOCKET + "s1", "user") == "ana"
    assert await redis.smembers(keys.SOCKETS + "c1") == {"s1"}
    assert await redis.exists(keys.SOCKET + "never-registered") == 0


async def test_a_closed_socket_leaves_nothing(redis: RedisClient, sockets: SocketRegistry) -> None:
    """Neither its hash nor its membership remains, and no renewal restores it."""
    await sockets.register("s1", "ana")
    await sockets.join("s1", "c1")
    assert await redis.pttl(keys.SOCKETS + "c1") > 0
    await sockets.unregister("s1", ["c1"])
    await sockets.renew(["s1"])
    assert await redis.exists(keys.SOCKET + "s1", keys.SOCKETS + "c1") == 0


async def test_many_sockets_come_and_go_in_few_round_trips(redis: RedisClient, settings: Settings) -> None:
    """Hundreds of sockets need no connection each, and leave nothing behind."""
    client = connect(settings)
    sockets = SocketRegistry(client, settings, "g1")
    await sockets.register("first", "ana")  # Redis knows the script from now on
    names = [f"s{number}" for number in range(50)]
    await asyncio.gather(*(sockets.register(name, "ana") for name in names))
    await asyncio.gather(*(sockets.join(name, f"c-{name}") for name in names))
    assert len(await redis.keys(f"{keys.SOCKET}*")) == 1 + len(names)
    assert len(await redis.keys(f"{keys.SOCKETS}*")) == len(names)
    await asyncio.gather(*(sockets.unregister(name, []) for name in names))
    assert len(await redis.keys(f"{keys.SOCKET}*")) == 1
    assert not await redis.keys(f"{keys.SOCKETS}*")
    mine = str(settings.redis.database)
    assert sum(other["db"] == mine for other in await redis.client_list()) == 2  # this one and the test's own
    await client.aclose()


async def test_missed_responses_are_returned_in_order(replies: Replies, sockets: SocketRegistry) -> None:
    """The result holds the web responses after the number, in order."""
    for number in range(12):
        channel = Channel.TELEGRAM if number == 5 else Channel.WEB
        await replies.commit(response(channel, text=str(number)))
    missed = await sockets.find_missed("c1", "ana", 3)
    assert [reply.seq for reply in missed.responses] == [4, 5, 7, 8, 9, 10, 11, 12]
    assert missed.recovered


@pytest.mark.parametrize(("after", "recovered"), [(4, False), (5, True), (6, True)])
async def test_missed_responses_report_a_gap(
    redis: RedisClient, replies: Replies, sockets: SocketRegistry, after: int, recovered: bool
) -> None:
    """Responses up to 5 were cut: a socket that left before 5 learns that some are missing."""
    for _ in range(8):
        await replies.commit(response())
    await redis.zremrangebyscore(keys.REPLIES + "c1", "-inf", 5)
    await redis.hset(keys.CONVERSATION + "c1", "floor", 5)
    missed = await sockets.find_missed("c1", "ana", after)
    assert [reply.seq for reply in missed.responses] == [seq for seq in (6, 7, 8) if seq > after]
    assert missed.recovered is recovered


async def test_missed_responses_report_a_conversation_that_started_again(
    redis: RedisClient, replies: Replies, sockets: SocketRegistry
) -> None:
    """A socket that left at 7, before the conversation started again, gets all responses and learns of it."""
    for _ in range(3):
        await replies.commit(response())
    missed = await sockets.find_missed("c1", "ana", 7)
    assert [reply.seq for reply in missed.responses] == [1, 2, 3]
    assert not missed.recovered


async def test_unknown_conversation_is_empty_and_complete(sockets: SocketRegistry) -> None:
    """An unknown conversation has no responses and no gap."""
    missed = await sockets.find_missed("nobodys", "ana", 7)
    assert (missed.responses, missed.recovered) == ([], True)


async def test_conversation_of_another_user_is_not_found(replies: Replies, sockets: SocketRegistry) -> None:
    """Eva cannot resume ana's conversation."""
    await replies.commit(response())
    with pytest.raises(NotFound):
        await sockets.find_missed("c1", "eva", 0)


async def test_frames_come_in_order_and_are_trimmed(redis: Any, sockets: SocketRegistry) -> None:
    """Earlier frames and new ones arrive once each; the inbox drops frames that were read."""
    for number in range(3):
        await push(redis, number)
    stream = sockets.read_frames()
    got = [frame.seq for frame in await anext(stream)]
    waiting = asyncio.ensure_future(anext(stream))
    await push(redis, 3)
    got += [frame.seq for frame in await waiting]
    assert got == [0, 1, 2, 3]
    await close(stream)
    left = await redis.xrange(keys.INBOX + "g1")
    assert [fields["seq"] for _, fields in left] == [
        "3"
    ]  # the last batch is trimmed once it is asked for the next


async def test_frames_survive_a_cut_connection(redis: RedisClient, sockets: SocketRegistry) -> None:
    """The connections of the reader are killed during its wait: the next frame still arrives."""
    stream = sockets.read_frames()
    waiting = asyncio.ensure_future(anext(stream))

    async def reading() -> bool:
        return any(client["cmd"] == "xread" for client in await redis.client_list())

    await until(reading, "the reader to wait inside Redis")
    for client in await redis.client_list():
        if client["cmd"] == "xread":
            await redis.client_kill(client["addr"])
    await push(redis, 7)
    assert [frame.seq for frame in await waiting] == [7]
    await close(stream)


async def close(stream: AsyncIterator[object]) -> None:
    """End an iteration and close its connection."""
    await stream.aclose()  # type: ignore[attr-defined]  # an asynchronous generator has it


async def test_wrong_host_clock_does_not_make_a_gateway_stale(
    redis: RedisClient, sockets: SocketRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F19: the heartbeat uses the clock of Redis, not the clock of this host."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    await sockets.heartbeat()
    seconds, _ = await redis.time()
    [beat] = await redis.hvals(keys.GATEWAYS)
    assert abs(int(beat) / 1000 - seconds) < PATIENCE


async def read(frames: AsyncIterator[Any], count: int) -> None:
    """Read frames of an inbox until a number of them has arrived."""
    while count > 0:
        async with asyncio.timeout(PATIENCE):
            count -= len(await anext(frames))
    assert count == 0


async def cut(redis: RedisClient, count: int) -> None:
    """Add a number of frames to g1's inbox and cut them unread."""
    async with redis.pipeline(transaction=True) as pipeline:
        for _ in range(count):
            pipeline.xadd(keys.INBOX + "g1", {"never": "read"})
        pipeline.xtrim(keys.INBOX + "g1", maxlen=0, approximate=False)
        await pipeline.execute()


async def is_empty(redis: RedisClient) -> bool:
    """Return whether the read frames of g1's inbox are trimmed."""
    return await redis.xlen(keys.INBOX + "g1") == 0


async def test_frames_that_were_cut_are_counted(redis: RedisClient, sockets: SocketRegistry) -> None:
    """Lost frames are counted once; frames that were read never count."""
    assert await sockets.count_lost_frames() == 0
    for number in range(5):
        await push(redis, number)
    assert await sockets.count_lost_frames() == 0
    frames = sockets.read_frames()
    await read(frames, 5)
    assert await sockets.count_lost_frames() == 0
    reading = asyncio.create_task(read(frames, 1))  # drops the five, and waits
    await until(lambda: is_empty(redis), "what was read to be dropped")
    assert await sockets.count_lost_frames() == 0
    await cut(redis, 3)
    assert await sockets.count_lost_frames() == 3
    assert await sockets.count_lost_frames() == 0
    await push(redis, 8)
    await reading
    assert await sockets.count_lost_frames() == 0


async def test_loss_is_reported_after_the_rest_is_read(redis: RedisClient, sockets: SocketRegistry) -> None:
    """Closing sockets earlier would lose the remaining frames, and a flood would close all of them repeatedly."""
    await cut(redis, 3)
    await push(redis, 1)
    assert await sockets.count_lost_frames() == 0
    frames = sockets.read_frames()
    await read(frames, 1)
    reading = asyncio.create_task(read(frames, 1))
    await until(lambda: is_empty(redis), "what was read to be dropped")
    assert await sockets.count_lost_frames() == 3
    await cancel(reading)


async def test_inbox_that_redis_lost_is_not_counted_as_a_loss(redis: RedisClient, sockets: SocketRegistry) -> None:
    """A stream that starts again, or lacks its end, is counted from there."""
    for number in range(5):
        await push(redis, number)
    frames = sockets.read_frames()
    await read(frames, 5)
    reading = asyncio.create_task(read(frames, 2))
    await until(lambda: is_empty(redis), "what was read to be dropped")
    await redis.delete(keys.INBOX + "g1")
    await push(redis, 6)
    await push(redis, 7)
    await reading
    reading = asyncio.create_task(read(frames, 1))
    await until(lambda: is_empty(redis), "what was read to be dropped")
    assert await sockets.count_lost_frames() == 0
    await cut(redis, 1)
    assert await sockets.count_lost_frames() == 1
    await cancel(reading)


async def test_inbox_lives_as_long_as_its_gateway(redis: RedisClient, sockets: SocketRegistry) -> None:
    """The frames of a gateway that was idle for an hour do not expire."""
    await push(redis, 1)
    await redis.pexpire(keys.INBOX + "g1", 5_000)
    await sockets.heartbeat()
    assert await redis.pttl(keys.INBOX + "g1") > 5_000
