"""F26: the stream is cut or deleted: an alarm is logged, and undelivered responses are put back once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.domain.messages import Channel, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended
from tools.support.daemons import until

CHAT = {"chatId": 42}


@pytest.fixture
async def stream(settings: Settings, redis: RedisClient) -> AsyncIterator[ResponseStream]:
    """A subscriber that reads and does not deliver."""
    stream = ResponseStream(redis, settings, "reader")
    await stream.ensure_group()
    yield stream
    await stream.close()


async def to_phones(replies: Replies, count: int = 6) -> list[Response]:
    """Commit replies in three conversations."""
    return [
        await replies.commit(response(Channel.TELEGRAM, CHAT, conversation=f"c{number % 3}", text=f"{number}"))
        for number in range(count)
    ]


async def cut(redis: Any, how: str) -> None:
    """Damage the stream as an operator should not."""
    if how == "xtrim":
        await redis.xtrim(keys.RESPONSES, maxlen=0, approximate=False)
    elif how == "destroy":
        await redis.xgroup_destroy(keys.RESPONSES, keys.RESPONSES_GROUP)
    else:
        await redis.delete(keys.RESPONSES)


@pytest.mark.parametrize("how", ["xtrim", "destroy", "del"])
@pytest.mark.parametrize("when", ["unread", "pending"])
async def test_cut_responses_are_put_back(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    stream: ResponseStream,
    capfd: pytest.CaptureFixture[str],
    how: str,
    when: str,
) -> None:
    """For read and unread entries an error is logged, and every reply is sent once and in order."""
    first = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c0", text="first"))
    async with Desk(settings):
        await ended(redis, first)
    await stream.maintain()
    sent = await to_phones(replies)
    if when == "pending":
        assert len(await stream.read() or await stream.read()) == 6
    await cut(redis, how)
    async with Desk(settings):
        states = [(await ended(redis, reply)).state for reply in sent]
        await until(lambda: gone(redis), "the alarm to end")
    assert set(states) == {DeliveryState.SENT}
    assert sorted(providers.texts()) == sorted(["first", *"012345"])
    assert [text for text in providers.texts() if text in "03"] == ["0", "3"]
    output = "".join(capfd.readouterr())
    assert "cut from the stream" in output or "group was lost" in output


async def gone(redis: RedisClient) -> bool:
    """Return whether no response counts as lost."""
    return not await redis.exists(keys.RESPONSES_LOST)


async def test_response_in_flight_is_not_put_back(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The stream is cut during a call: that delivery is SENT, not UNKNOWN, and the next ones follow."""
    providers.slow = lambda _request: 0.5
    async with Desk(settings):
        sent = await to_phones(replies)
        await until(lambda: providers.requests, "a call")

        async def all_read() -> bool:
            newest: Any = (await redis.xinfo_stream(keys.RESPONSES))["last-generated-id"]
            groups: Any = await redis.xinfo_groups(keys.RESPONSES)
            return bool(groups[0]["last-delivered-id"] == newest)

        await until(all_read, "the subscriber to have read all six")
        await cut(redis, "xtrim")
        records = [await ended(redis, reply) for reply in sent]
    assert {(record.state, record.resends) for record in records} == {(DeliveryState.SENT, 0)}
    assert sorted(providers.texts()) == list("012345")


async def test_cut_web_reply_is_put_back(settings: Settings, redis: RedisClient, replies: Replies) -> None:
    """A reply for a browser that was cut unread reaches its socket."""
    gateway = SocketRegistry(redis, settings, "g1")
    await gateway.register("s1", "ana")
    await gateway.join("s1", "c1")
    async with Desk(settings):
        await ended(redis, await replies.commit(response()))
    reply = await replies.commit(response())
    await cut(redis, "xtrim")
    async with Desk(settings):
        assert (await ended(redis, reply)).state is DeliveryState.SENT
    inbox: Any = await redis.xlen(keys.INBOX + "g1")
    assert inbox == 2


async def test_cut_retry_is_put_back(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, stream: ResponseStream
) -> None:
    """A retry that returned to the stream as a new entry is cut and put back again."""
    providers.answers.append((503, {}))
    slow = settings.retry.model_copy(update={"base": 0.3, "cap": 0.3})
    async with Desk(settings.model_copy(update={"retry": slow})):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))

        async def waits() -> bool:
            return bool(await redis.zcard(keys.POSTPONED))

        await until(waits, "the retry to wait")

    async def came_back() -> bool:
        await stream.maintain()
        return not await waits()

    await until(came_back, "the retry to come back")
    await cut(redis, "xtrim")
    async with Desk(settings):
        assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert len(providers.requests) == 2


async def test_trim_of_delivered_entries_is_no_alarm(
    settings: Settings, redis: RedisClient, replies: Replies
) -> None:
    """Any program may cut delivered entries, and nothing is sent again."""
    async with Desk(settings) as desk:
        sent = await to_phones(replies)
        for reply in sent:
            await ended(redis, reply)
        await cut(redis, "xtrim")
        await desk.stream.maintain()
        assert await gone(redis)
        last = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await ended(redis, last)
        await desk.stream.maintain()
        assert await gone(redis)
    record = await find_record(redis, sent[0].message_id)
    assert record is not None
    assert record.attempts == 1
