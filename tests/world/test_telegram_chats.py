"""Where people write on Telegram, and whether it is for the bot: topics, groups, business accounts, other bots."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from daemons.gateway.app import serve
from msgctl.channels.inbound import derive_id
from msgctl.channels.telegram.sender import TelegramSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Channel, Message
from msgctl.http.client import HttpClient
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import running
from tests.support.providers import Providers
from tests.support.replies import response
from tests.support.webhooks import counted, messages, refused, tell_telegram, told

GROUP = {"id": -100, "type": "supergroup"}
FORUM = GROUP | {"is_forum": True}
PRIVATE = {"id": 42, "type": "private"}
PERSON = {"id": 42, "is_bot": False, "first_name": "Ana"}
BOT = {"id": 99, "is_bot": True, "username": "other_bot"}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "username": "GroupAnonymousBot"}


def update(number: int, what: str = "message", **message: Any) -> bytes:
    """An update with a message of a person in a group, changed as said."""
    base = {"message_id": 5, "from": PERSON, "chat": GROUP, "date": 1, "text": f"text {number}"}
    return msgspec.json.encode({"update_id": number, what: base | message})


async def accepted(redis: RedisClient) -> list[Message]:
    """The accepted messages by their text."""
    return sorted(await messages(redis), key=lambda message: message.message)


TOPIC = {"chat": FORUM, "message_thread_id": 99, "is_topic_message": True}
PLACES: list[tuple[str, str, dict[str, Any], dict[str, Any], tuple[object, ...]]] = [
    ("message", "a topic", TOPIC, {"chatId": -100, "messageThreadId": 99}, (-100, "topic", 99)),
    ("message", "General", {"chat": FORUM}, {"chatId": -100}, (-100,)),
    ("message", "a thread of replies", {"message_thread_id": 99}, {"chatId": -100}, (-100,)),
    ("message", "a private chat", {"chat": PRIVATE}, {"chatId": 42}, (42,)),
    (
        "message",
        "a topic of a private chat",
        {"chat": PRIVATE, "message_thread_id": 7, "is_topic_message": True},
        {"chatId": 42, "messageThreadId": 7},
        (42, "topic", 7),
    ),
    (
        "message",
        "direct messages of a channel",
        {"chat": GROUP | {"is_direct_messages": True}, "direct_messages_topic": {"topic_id": 3}},
        {"chatId": -100, "directMessagesTopicId": 3},
        (-100, "direct", 3),
    ),
    (
        "business_message",
        "a business account",
        {"chat": PRIVATE, "business_connection_id": "bc-1"},
        {"chatId": 42, "businessConnectionId": "bc-1"},
        ("business", "bc-1", 42),
    ),
]


@pytest.mark.parametrize(("what", "case", "message", "metadata", "parts"), PLACES)
async def test_each_place_is_a_conversation_and_an_address(
    door: str,
    redis: RedisClient,
    *,
    what: str,
    case: str,
    message: dict[str, Any],
    metadata: dict[str, Any],
    parts: tuple[object, ...],
) -> None:
    """The conversation of a chat without parts is as before; a topic has its own, and the reply names it."""
    assert await tell_telegram(door, update(1, what, **message)) == 200, case
    [found] = await accepted(redis)
    quoted = {"replyToMessageId": 5} if metadata["chatId"] < 0 else {}
    assert found.channel_metadata == metadata | quoted
    assert found.conversation_id == derive_id("tg", "77", *parts)


async def test_topics_do_not_share_conversations(door: str, redis: RedisClient) -> None:
    """Two topics, General, and the same topic again are three conversations."""
    places: list[dict[str, Any]] = [TOPIC, TOPIC | {"message_thread_id": 100}, {"chat": FORUM}, TOPIC]
    for number, place in enumerate(places):
        assert await tell_telegram(door, update(number, **place)) == 200
    found = [message.conversation_id for message in await accepted(redis)]
    assert len(set(found)) == 3
    assert found[0] == found[3]


@pytest.mark.parametrize(
    ("case", "what", "message", "kind"),
    [
        (
            "a channel's post in its group",
            "message",
            {"is_automatic_forward": True, "sender_chat": {"type": "channel"}},
            "automatic_forward",
        ),
        (
            "a channel post that a member forwarded",
            "message",
            {"forward_origin": {"type": "channel"}},
            "channel_forward",
        ),
        (
            "the same, as older updates tell it",
            "message",
            {"forward_from_chat": {"type": "channel"}},
            "channel_forward",
        ),
        ("a channel", "channel_post", {"chat": {"id": -7, "type": "channel"}}, "channel_post"),
        ("another bot", "message", {"from": BOT}, "bot"),
        ("another bot in private", "message", {"from": BOT, "chat": PRIVATE}, "bot"),
        ("ourselves", "message", {"from": BOT | {"id": 77}}, "echo"),
        ("what an inline bot wrote", "message", {"via_bot": BOT}, "via_bot"),
        (
            "the owner of the business account",
            "business_message",
            {"chat": PRIVATE, "from": {"id": 7}, "business_connection_id": "b"},
            "echo",
        ),
        (
            "a bot for the business account",
            "business_message",
            {"chat": PRIVATE, "business_connection_id": "b", "sender_business_bot": BOT},
            "echo",
        ),
        ("a command of another bot", "message", {"text": "/help@other_bot"}, "other_bot"),
        ("the same with a word", "message", {"text": "/help@Other_Bot me"}, "other_bot"),
        ("an edit", "edited_message", {}, "edited"),
        ("an edit at a business account", "edited_business_message", {"business_connection_id": "b"}, "edited"),
        ("a connection", "business_connection", {}, "business_connection"),
        ("an update that nobody knows", "dance", {}, "dance"),
        ("a message without a chat", "message", {"chat": None}, "message"),
    ],
)
async def test_what_is_not_for_the_bot_is_counted(
    door: str, redis: RedisClient, *, case: str, what: str, message: dict[str, Any], kind: str
) -> None:
    """It is not answered, and its number by kind is seen in the metrics."""
    before = counted("telegram", kind)
    assert await tell_telegram(door, update(1, what, **message)) == 200
    assert counted("telegram", kind) == before + 1, case
    assert await messages(redis) == []
    assert await told(redis) == []


@pytest.mark.parametrize(
    "message",
    [
        {"text": "bom dia"},
        {"text": "/help"},
        {"text": "write to ana@shop_bot"},
        {"text": "/help@other_bot", "chat": PRIVATE},
        {"from": ANONYMOUS, "sender_chat": GROUP},
        {"from": {"id": 136817688, "is_bot": True}, "sender_chat": {"id": -7, "type": "channel"}},
        {"forward_origin": {"type": "channel"}, "chat": PRIVATE},
        {"forward_origin": {"type": "user"}},
        {"via_bot": BOT, "chat": PRIVATE},
    ],
)
async def test_what_may_be_for_the_bot_is_answered(door: str, redis: RedisClient, message: dict[str, Any]) -> None:
    """An anonymous administrator and a person in the name of a channel are people."""
    assert await tell_telegram(door, update(1, **message)) == 200
    assert len(await messages(redis)) == 1


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    """Telegram, which is asked for the name of the bot."""
    async with Providers() as providers:
        yield providers


@pytest.mark.parametrize(
    ("usernames", "told_name", "answered", "asked"),
    [
        ([], "Shop_Bot", ["/help@SHOP_BOT", "/help@shop_bot"], 1),
        (["shop_bot"], None, ["/help@SHOP_BOT", "/help@shop_bot"], 0),
        ([], None, [], 1),
    ],
)
async def test_a_command_that_names_our_bot_is_answered(
    opened: Settings,
    redis: RedisClient,
    providers: Providers,
    *,
    usernames: list[str],
    told_name: str | None,
    answered: list[str],
    asked: int,
) -> None:
    """The name is configured, or Telegram is asked for it once; without either, the log says what to set."""
    providers.bot_name = told_name
    before = refused("telegram", "own_name_unknown")
    changes = {"base_url": providers.url, "usernames": usernames}
    telegram = opened.telegram.model_copy(update=changes)
    async with running(serve, opened.model_copy(update={"telegram": telegram})) as life:
        door = life.status.result().removeprefix("listening at ")
        for number, text in enumerate(("/help@SHOP_BOT", "/help@other_bot", "/help@shop_bot")):
            assert await tell_telegram(door, update(number, text=text)) == 200
    assert [message.message for message in await accepted(redis)] == answered
    assert providers.name_requests == asked
    assert (refused("telegram", "own_name_unknown") > before) == (not answered)


@pytest.mark.parametrize(
    "notice",
    [
        {"chat": {"id": -5, "type": "group"}, "migrate_to_chat_id": -100},
        {"chat": GROUP, "migrate_from_chat_id": -5},
    ],
)
async def test_a_migrated_group_keeps_its_conversation(
    door: str, redis: RedisClient, notice: dict[str, Any]
) -> None:
    """Either notice is enough; it is counted, and not answered."""
    before = counted("telegram", "migrated")
    sent = [{"chat": {"id": -5, "type": "group"}}, notice | {"text": ""}, {"chat": GROUP}]
    for number, message in enumerate(sent):
        assert await tell_telegram(door, update(number, **message)) == 200
    old, new = await accepted(redis)
    assert old.conversation_id == new.conversation_id
    assert new.channel_metadata["chatId"] == -100
    assert counted("telegram", "migrated") == before + 1


@pytest.mark.parametrize(
    ("metadata", "fields"),
    [
        ({"messageThreadId": 99}, {"message_thread_id": 99}),
        ({"businessConnectionId": "bc-1"}, {"business_connection_id": "bc-1"}),
        ({"directMessagesTopicId": 3}, {"direct_messages_topic_id": 3}),
        ({}, {}),
    ],
)
async def test_every_part_goes_to_its_place(
    settings: Settings, providers: Providers, metadata: dict[str, Any], fields: dict[str, Any]
) -> None:
    """The first part and the second name the same topic or connection."""
    token = SecretStr("123456:AAF-secret_of_the_bot")
    changed = settings.telegram.model_copy(update={"token": token, "base_url": providers.url})
    async with HttpClient(settings) as client:
        sender = TelegramSender(settings.model_copy(update={"telegram": changed}), client)
        reply = response(Channel.TELEGRAM, {"chatId": -100} | metadata)
        for first in (True, False):
            await sender.send(reply, TextPart("Oi"), first=first)
    sent = [request.json for request in providers.requests]
    assert [{name: one[name] for name in one.keys() - {"chat_id", "text"}} for one in sent] == [fields, fields]


@pytest.mark.parametrize(
    "metadata", [{"messageThreadId": "99"}, {"messageThreadId": True}, {"businessConnectionId": 5}]
)
async def test_a_place_of_another_type_is_no_address(settings: Settings, metadata: dict[str, Any]) -> None:
    """Telegram would reject it, or send the reply to another place."""
    changed = settings.telegram.model_copy(update={"token": SecretStr("1:x")})
    async with HttpClient(settings) as client:
        sender = TelegramSender(settings.model_copy(update={"telegram": changed}), client)
        with pytest.raises(BadAddress, match=next(iter(metadata))):
            await sender.send(response(Channel.TELEGRAM, {"chatId": 1} | metadata), TextPart("Oi"), first=True)
