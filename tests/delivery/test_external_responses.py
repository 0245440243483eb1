"""Import of external responses: each is delivered once, and responses of msgctl are ignored."""

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
    """Three importers that receive publications."""
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
    """Return the responses in the durable stream."""
    entries = await redis.xrange(keys.RESPONSES)
    return [msgspec.json.decode(fields["body"], type=Response) for _, fields in entries]


async def marked(redis: RedisClient, listeners: list[ExternalResponseImporter]) -> None:
    """Publish a last external response and wait for its import, so that all earlier ones were received."""
    last = FOREIGN | {"messageId": "last"}
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(last))

    async def adopted() -> bool:
        return any(reply.message_id == "last" for reply in await stream(redis))

    await until(adopted, "the last publication to be adopted")
    await asyncio.gather(
        *(adoption.import_response("telegram", msgspec.json.encode(last).decode()) for adoption in listeners)
    )


async def test_external_response_is_imported_once(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """Three importers receive it twice; it enters the stream once, with the channel of its Pub/Sub name."""
    for _ in range(2):
        await redis.publish("pubsub:response:telegram", msgspec.json.encode(FOREIGN))
    await marked(redis, listeners)
    replies = [reply for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert len(replies) == 1
    assert replies[0].channel is Channel.TELEGRAM
    assert replies[0].channel_metadata == {"chatId": 42}


async def test_response_of_msgctl_is_not_imported(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """A response that a commit published is in the stream already, and stays there once."""
    await replies.commit(response(message_id="ours"))
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)].count("ours") == 1


async def test_relayed_response_of_msgctl_is_not_imported(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """`streamId` counts at any position in the JSON."""
    relayed = {"streamId": "1-1"} | FOREIGN
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(relayed))
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)] == ["last"]


async def test_response_with_null_stream_id_is_imported(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """A program that uses the format of msgctl and leaves the field empty is an external publisher."""
    await redis.publish("pubsub:response:api", response(Channel.API, message_id="empty").to_json())
    await marked(redis, listeners)
    assert "empty" in [reply.message_id for reply in await stream(redis)]


async def test_stream_id_inside_a_text_is_ignored(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """Only a key of the response itself marks it as a response of msgctl."""
    tricky = FOREIGN | {"response": {"message": "streamId"}, "channelMetadata": {"chatId": 1, "streamId": "x"}}
    await redis.publish("pubsub:response:telegram", msgspec.json.encode(tricky))
    await marked(redis, listeners)
    assert "foreign-1" in [reply.message_id for reply in await stream(redis)]


@pytest.mark.parametrize(
    ("written", "taken", "chosen"),
    [
        (b'"a\\u0000b"', "ab", None),
        (b'"Tudo certo \\ud83d"', "Tudo certo \ufffd", None),
        (b'"\\ud83d\\ude00"', "😀", None),
        (b'"a", "format": "plain"', "a", "plain"),
        (b'"a", "format": 5', "a", None),
    ],
)
async def test_text_of_an_external_response_is_repaired(
    *,
    redis: RedisClient,
    listeners: list[ExternalResponseImporter],
    written: bytes,
    taken: str,
    chosen: str | None,
) -> None:
    """NUL and half characters never reach a customer, and cost no reply; a format of its own is taken if valid."""
    text, _, more = written.partition(b", ")
    body = msgspec.json.encode(FOREIGN).replace('"Olá"'.encode(), text)
    body = body[:-1] + (b", " + more if more else b"") + b"}"
    await redis.publish("pubsub:response:telegram", body)
    await marked(redis, listeners)
    found = [reply for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert [reply.response.message for reply in found] == [taken]
    assert [reply.format or None for reply in found] == [chosen]


async def test_number_of_an_external_response_is_ignored(
    redis: RedisClient, listeners: list[ExternalResponseImporter]
) -> None:
    """A `seq` from another program cannot make routing skip a response of msgctl."""
    await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN | {"seq": 10**9}))
    await marked(redis, listeners)
    assert {reply.seq for reply in await stream(redis)} == {None}


async def test_external_response_of_a_known_conversation_gets_a_number(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """It belongs to the owner, follows the reply before it, and is kept once for a socket that resumes."""
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


async def test_external_response_of_another_user_gets_no_number(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """A conversation belongs to its owner: a response that names another user is not part of it."""
    await replies.commit(response(conversation="c9", user="ana"))
    await redis.publish("pubsub:response:web", msgspec.json.encode(FOREIGN | {"userId": "bob"}))
    await marked(redis, listeners)
    carried = [(reply.user_id, reply.seq) for reply in await stream(redis) if reply.message_id == "foreign-1"]
    assert carried == [("bob", None)]


async def test_external_response_to_a_message_of_msgctl_gets_no_number(
    redis: RedisClient, replies: Replies, listeners: list[ExternalResponseImporter]
) -> None:
    """The message's own reply has a number or will get one: two numbers would show it twice."""
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
async def test_unreadable_publication_is_skipped(
    redis: RedisClient,
    listeners: list[ExternalResponseImporter],
    published: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is logged, without its text, and the importer continues."""
    await redis.publish("pubsub:response:telegram", published)
    await marked(redis, listeners)
    assert [reply.message_id for reply in await stream(redis)] == ["last"]
    output = "".join(capfd.readouterr())
    assert "cannot be read" in output
    assert "secret" not in output
