"""The response stream: pending entries, takeover, trimming, and a lost group."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import ResponseStream, StreamEntry
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.replies import Replies, response
from tools.support.daemons import until

STREAM, GROUP = keys.RESPONSES, keys.RESPONSES_GROUP


@pytest.fixture
async def stream(settings: Settings, redis: RedisClient) -> AsyncIterator[ResponseStream]:
    """The stream as subscriber `one` sees it."""
    stream = ResponseStream(redis, settings, "one")
    await stream.ensure_group()
    yield stream
    await stream.close()


@pytest.fixture
async def other(settings: Settings, redis: RedisClient) -> AsyncIterator[ResponseStream]:
    """The same stream as subscriber `two` sees it."""
    quick = settings.delivery.model_copy(update={"takeover": 0.05})
    stream = ResponseStream(redis, settings.model_copy(update={"delivery": quick}), "two")
    yield stream
    await stream.close()


async def read(stream: ResponseStream) -> list[StreamEntry]:
    """Return the next entries; the first read, of the own pending ones, may be empty."""
    return await stream.read() or await stream.read()


async def test_own_pending_entries_come_first(stream: ResponseStream, replies: Replies) -> None:
    """Entries that were read and not delivered are read again, before new ones."""
    await replies.commit(response(message_id="a"))
    assert [entry.event.message_id for entry in await read(stream)] == ["a"]
    await replies.commit(response(message_id="b"))
    stream.reread_pending()
    assert [entry.event.message_id for entry in await stream.read()] == ["a"]


async def test_entries_in_flight_are_not_read_again(stream: ResponseStream, replies: Replies) -> None:
    """Reading the pending entries skips those that are in flight."""
    await replies.commit(response(message_id="a"))
    stream.in_flight.update(entry.id for entry in await read(stream))
    stream.reread_pending()
    assert await stream.read() == []


async def test_entries_of_a_silent_subscriber_are_taken_over(
    stream: ResponseStream, other: ResponseStream, replies: Replies
) -> None:
    """Subscriber `two` gets the entries of `one`, once, after the configured time."""
    await replies.commit(response(message_id="a"))
    await read(stream)
    taken: list[StreamEntry] = []

    async def took() -> bool:
        taken.extend(await other.take_over())
        return bool(taken)

    await until(took, "the takeover")
    assert [entry.event.message_id for entry in taken] == ["a"]


async def test_renewed_entries_are_not_taken_over(
    stream: ResponseStream, other: ResponseStream, replies: Replies, redis: Any
) -> None:
    """Renewing resets the idle time."""
    await replies.commit(response(message_id="a"))
    stream.in_flight.update(entry.id for entry in await read(stream))

    async def idle() -> bool:
        [entry] = await redis.xpending_range(STREAM, GROUP, "-", "+", 1)
        return bool(entry["time_since_delivered"] >= 60)

    await until(idle, "the entry to be idle long enough")
    await stream.renew_ownership()
    assert await other.take_over() == []


async def test_deregistered_subscriber_hands_over_immediately(
    settings: Settings, redis: RedisClient, stream: ResponseStream, replies: Replies
) -> None:
    """After `leave` nobody waits for the silence to last; without pending entries the consumer is gone."""
    await replies.commit(response(message_id="a"))
    await read(stream)
    await stream.deregister()
    heir = ResponseStream(redis, settings, "heir")
    try:
        [entry] = await heir.take_over()
        await heir.acknowledge([entry.id])
        await heir.deregister()
    finally:
        await heir.close()
    await stream.deregister()
    assert await redis.xinfo_consumers(STREAM, GROUP) == []


async def test_trimming_spares_undelivered_entries(settings: Settings, redis: Any, replies: Replies) -> None:
    """Far above its limit the stream loses delivered entries, and none that is pending or unread."""
    small = settings.delivery.model_copy(update={"max_stream": 1000})
    stream = ResponseStream(redis, settings.model_copy(update={"delivery": small}), "one")
    await stream.ensure_group()
    ids = [await replies.put(response(message_id=f"m{number}")) for number in range(2500)]
    await stream.read()
    got: list[str] = []
    while len(got) < 2000:
        got.extend(entry.id for entry in await stream.read())
    await stream.acknowledge([entry_id for entry_id in got if entry_id != ids[900]])
    for _ in range(3):
        await stream.maintain()
    await stream.close()
    left = [entry_id for entry_id, _ in await redis.xrange(STREAM)]
    assert len(left) < 2500
    assert left[-1600:] == ids[900:]


async def test_settled_mark_follows_the_oldest_pending_entry(
    stream: ResponseStream, redis: RedisClient, replies: Replies
) -> None:
    """The mark is the oldest pending entry, or the last one read if none is pending."""
    first, second = await replies.put(response()), await replies.put(response())
    await read(stream)
    await stream.acknowledge([second])
    await stream.maintain()
    assert await redis.get(keys.RESPONSES_SETTLED) == first
    await stream.acknowledge([first])
    await stream.maintain()
    assert await redis.get(keys.RESPONSES_SETTLED) == second


async def test_lost_group_is_created_at_the_first_undelivered_entry(
    stream: ResponseStream, redis: RedisClient, replies: Replies, capfd: pytest.CaptureFixture[str]
) -> None:
    """The group was destroyed: an error is logged, and reading continues with the oldest undelivered entry."""
    delivered, pending = await replies.put(response()), await replies.put(response(message_id="pending"))
    await read(stream)
    await stream.acknowledge([delivered])
    await stream.maintain()
    await redis.xgroup_destroy(STREAM, GROUP)
    await replies.put(response(message_id="new"))
    await stream.maintain()
    found = await read(stream)
    assert [entry.event.message_id for entry in found] == ["pending", "new"]
    assert found[0].id == pending
    assert "consumer group was lost" in "".join(capfd.readouterr())


async def test_blocked_reader_survives_the_loss_of_the_group(
    stream: ResponseStream, redis: RedisClient, replies: Replies
) -> None:
    """NOGROUP during a read creates the group again instead of ending the subscriber."""
    await read_nothing(stream)
    await redis.xgroup_destroy(STREAM, GROUP)
    await replies.put(response(message_id="new"))
    assert await stream.read() == []
    assert [entry.event.message_id for entry in await read(stream)] == ["new"]


async def read_nothing(stream: ResponseStream) -> None:
    """Read the own pending entries, of which there are none."""
    assert await stream.read() == []


async def test_heartbeat_registers_a_subscriber_and_prunes_dead_ones(
    stream: ResponseStream, redis: RedisClient
) -> None:
    """`tend` writes the time of this subscriber, and drops a name that is long silent, with its consumer."""
    await redis.hset(keys.SUBSCRIBERS, "dead", "1000")
    await redis.xgroup_createconsumer(STREAM, GROUP, "dead")
    await stream.maintain()
    await stream.maintain()
    assert list(await redis.hgetall(keys.SUBSCRIBERS)) == ["one"]
    names = [consumer["name"] for consumer in await redis.xinfo_consumers(STREAM, GROUP)]
    assert "dead" not in names
