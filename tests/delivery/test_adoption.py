"""Foreign publishers: what another program publishes is delivered once, and what is ours is left alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.external_responses import ExternalResponseImporter
from msgctl.domain.messages import Channel, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.replies import Replies, response
from tools.support.daemons import until

FOREIGN = {
    "messageId": "foreign-1",
    "conversationId": "c9",
    "agentId": "a1",
    "response": {"message": "Olá", "tokensUsed": 1, "model": "gpt", "finishReason": "stop"},
    "channelMetadata": {"chatId": 42},
    "timestamp": "2026-11-23T12:00:00Z",
    "processingTime": 5,
}


@pytest.fixture
async def listeners(settings: Settings, redis: RedisClient) -> AsyncIterator[list[ExternalResponseImporter]]:
    """Three subscribers that listen."""
    listeners = [ExternalResponseImporter(redis, settings) for _ in range(3)]

    async def listen(adoption: ExternalResponseImporter) -> None:
        while True:
            await adoption.import_next()

    tasks = [asyncio.create_task(listen(adoption)) for adoption in listeners]

    async def all_listen() -> bool:
        return sum(client["psub"] == "1" for client in await redis.client_list()) >= 3

    await until(all_listen, "three subscriptions")
    yield listeners
    await cancel(*tasks)
    for adoption in listeners:
        await adoption.close()


async def stream(redis: Any) -> list[Response]:
    """The responses in the durable stream."""
    entries = await redis.xrange(keys.RESPONSES)
    return [msgspec.json.decode(fields["body"], type=Response) for _, fields in entries]


async def marked(redis: RedisClient, listeners: list[ExternalResponseImporter]) -> None:
    """Publish a last foreign response and wait until it is adopted, so that all before it has been heard."""
    last = FOREIGN | {"messageId": "last"}
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(last))

    async def adopted() -> bool:
        return any(reply.message_id == "last" for reply in await stream(redis))

    await until(adopted, "the last publication to be adopted")
    await asyncio.gather(
        *(adoption.import_response("telegram", msgspec.json.encode(last).decode()) for adoption in listeners)
    )


async def test_a_foreign_response_is_adopted_once(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """Three hear it, twice; it enters the stream once, its channel taken from the name it was published under."""
    for _ in range(2):
        await redis.publish("pubsub:response:telegram", msgspec.json.encode(FOREIGN))
    await marked(redis, listeners)
    replies = [reply for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert len(replies) == 1
    assert replies[0].channel is Channel.TELEGRAM
    assert replies[0].channel_metadata == {"chatId": 42}


async def test_ours_are_left_alone(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """A response that COMMIT published is in the stream already, and stays there once."""
    await replies.commit(response(message_id="ours"))
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)].count("ours") == 1


async def test_one_of_ours_relayed_by_another_program_is_left_alone(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """`streamId` counts wherever it stands in the JSON."""
    relayed = {"streamId": "1-1"} | FOREIGN
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(relayed))
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)] == ["last"]


async def test_a_stream_id_of_null_is_none(redis: RedisClient, listeners: list[ExternalResponseImporter]) -> None:
    """A program that knows our shape and leaves the field empty is a foreign publisher."""
    await redis.publish("pubsub:response:api", response(Channel.API, message_id="empty").to_json())
    await marked(redis, listeners)
    assert "empty" in [reply.message_id for reply in await stream(redis)]


async def test_the_word_stream_id_in_a_text_does_not_count(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """Only a key of the response itself makes it ours."""
    tricky = FOREIGN | {"response": {"message": "streamId"}, "channelMetadata": {"chatId": 1, "streamId": "x"}}
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(tricky))
    await marked(redis, listeners)
    assert "foreign-1" in [reply.message_id for reply in await stream(redis)]


async def test_foreign_numbers_are_not_believed(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """A `seq` of another program's making cannot make ROUTE skip what is ours."""
    await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN | {"seq": 10**9}))
    await marked(redis, listeners)
    assert {reply.seq for reply in await stream(redis)} == {None}


async def test_a_foreign_response_of_a_known_conversation_is_delivered_like_any_other(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """It is its owner's, comes after the reply before it, and is kept for a socket that resumes; once."""
    await replies.commit(response(conversation="c9", user="ana"))
    for _ in range(2):
        await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN | {"seq": 10**9}))
    await marked(redis, listeners)
    carried = [(reply.user_id, reply.seq) for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert carried == [("ana", 2)]
    bodies: Any = await redis.zrange(keys.REPLIES + "c9", 0, -1)
    kept = [msgspec.json.decode(body, type=Response) for body in bodies]
    assert [(reply.message_id, reply.seq) for reply in kept][1:] == [("foreign-1", 2), ("last", 3)]
    assert all(reply.stream_id for reply in kept)


async def test_a_foreign_response_in_another_users_name_gets_no_number(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """A conversation is its owner's: what names somebody else is no reply in it."""
    await replies.commit(response(conversation="c9", user="ana"))
    await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN | {"userId": "bob"}))
    await marked(redis, listeners)
    carried = [(reply.user_id, reply.seq) for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert carried == [("bob", None)]


async def test_a_foreign_response_to_a_message_of_ours_takes_no_number(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """The message's own reply has one already, or will get it: two numbers would show it twice."""
    await replies.commit(response(conversation="c9", user="ana"))
    await redis.hset(keys.IDENTITY + "foreign-1", "user", "ana")
    await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN))
    await marked(redis, listeners)
    assert [reply.seq for reply in await stream(redis) if reply.message_id == "foreign-1"] == [None]


@pytest.mark.parametrize(
    "published",
    [
        "not JSON, and secret",
        "[]",
        '{"messageId": "x"}',
        msgspec.json.encode(FOREIGN | {"messageId": "a:b c"}).decode(),
        msgspec.json.encode(FOREIGN | {"channel": "pigeon"}).decode(),
        "\x00\x01",
    ],
)
async def test_what_cannot_be_read_is_dropped(
    redis: RedisClient,
    listeners: list[ExternalResponseImporter],
    published: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is logged, without its text, and listening goes on."""
    await redis.publish("pubsub:response:telegram", published)
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)] == ["last"]
    output = "".join(capfd.readouterr())
    assert "cannot be read" in output
    assert "secret" not in output
