"""What customers send besides a plain text to the first bot: captions, voices, edits, further bots and numbers."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from daemons.gateway.app import serve
from msgctl.agents.agents import Agent, Agents
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel, Response
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import running
from tests.support.webhooks import (
    FORM,
    PHONE,
    SECRET,
    messages,
    meta,
    open_webhooks,
    post,
    tell_meta,
    tell_telegram,
    tell_twilio,
    update,
)

SORRY = "Sorry, I can only read text."


@pytest.fixture
async def other_agent(settings: Settings, agent: Agent) -> Agent:
    """An agent of another user."""
    async with Agents(settings) as agents:
        return await agents.add(user_id="eva", name="Second", webhook_path="second")


@pytest.fixture
def opened(settings: Settings, agent: Agent, other_agent: Agent) -> Settings:
    """All webhooks open; a second bot and a second number of each provider lead to another agent."""
    routes = [f"{name}={other_agent.id}" for name in ("telegram:88", "whatsapp:2077", "twilio:+1499")]
    return open_webhooks(settings, agent, routes=routes, unreadable=SORRY)


@pytest.fixture
async def door(opened: Settings) -> AsyncIterator[str]:
    """A gateway with these settings."""
    async with running(serve, opened) as life:
        yield life.status.result().removeprefix("listening at ")


def telegram(number: int, what: str = "message", **fields: Any) -> bytes:
    """An update with a message of any kind."""
    message = {"message_id": 5, "from": {"id": 42}, "chat": {"id": 42, "type": "private"}, "date": 1, **fields}
    return msgspec.json.encode({"update_id": number, what: message})


def whatsapp(**message: Any) -> bytes:
    """A webhook of Meta's with one message."""
    return meta(messages=[{"id": "wamid.9", "from": PHONE, **message}])


async def told(redis: RedisClient) -> list[Response]:
    """What is to be delivered."""
    entries: Any = await redis.xrange(keys.RESPONSES)
    return [msgspec.json.decode(fields["body"], type=Response) for _, fields in entries]


def counted(channel: str, kind: str) -> float:
    """How many of a kind this process has seen."""
    return float(metrics.INBOUND_MESSAGES.labels(channel, kind)._value.get())


async def test_second_bot_routes_to_its_agent(door: str, redis: RedisClient, other_agent: Agent) -> None:
    """`/webhooks/telegram/88` is the second bot's: its agent, that agent's user, and it sends the reply."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    assert await post(f"{door}/webhooks/telegram/88", update(1), **headers) == 200
    assert await post(f"{door}/webhooks/telegram/88", update(1), **headers) == 200
    [message] = await messages(redis)
    assert (message.agent_id, message.user_id) == (other_agent.id, "eva")
    assert message.channel_metadata == {"chatId": 42, "bot": "88"}
    assert await post(f"{door}/webhooks/telegram/99", update(2), **headers) == 404


async def test_bots_do_not_share_conversations(door: str, redis: RedisClient) -> None:
    """The same update id and chat at two bots are two messages in two conversations."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    for path in ("telegram", "telegram/77", "telegram/88"):
        assert await post(f"{door}/webhooks/{path}", update(1), **headers) == 200
    found = await messages(redis)
    assert len(found) == len({message.conversation_id for message in found}) == 2


async def test_second_numbers_route_to_their_agent(door: str, redis: RedisClient, other_agent: Agent) -> None:
    """Meta's phone number id and Twilio's To choose the agent, and the reply is sent from that number."""
    word = {"id": "wamid.1", "from": PHONE, "type": "text", "text": {"body": "Olá"}}
    assert await tell_meta(door, meta(metadata={"phone_number_id": "2077"}, messages=[word])) == 200
    assert await tell_twilio(door, FORM | {"To": "whatsapp:+1499"}) == 200
    found = {message.channel_metadata["provider"]: message for message in await messages(redis)}
    assert {message.agent_id for message in found.values()} == {other_agent.id}
    assert (found["cloud"].channel_metadata["from"], found["twilio"].channel_metadata["from"]) == ("2077", "+1499")


async def test_unknown_number_is_ignored(door: str, redis: RedisClient) -> None:
    """Another number of the same account has no route: nothing is taken in, and the provider is content."""
    word = {"id": "wamid.1", "from": PHONE, "type": "text", "text": {"body": "Olá"}}
    assert await tell_meta(door, meta(metadata={"phone_number_id": "3000"}, messages=[word])) == 200
    assert await tell_twilio(door, FORM | {"To": "whatsapp:+1000"}) == 200
    assert await messages(redis) == []


@pytest.mark.parametrize(
    "content",
    [
        {"type": "image", "image": {"id": "1", "caption": "Olá"}},
        {"type": "document", "document": {"id": "1", "caption": "Olá"}},
        {"type": "button", "button": {"text": "Olá", "payload": "p"}},
        {"type": "interactive", "interactive": {"list_reply": {"id": "1", "title": "Olá"}}},
    ],
)
async def test_text_is_found_in_each_message_type(door: str, redis: RedisClient, content: dict[str, Any]) -> None:
    """A caption and a button pressed are what the customer says, as much as a text."""
    assert await tell_meta(door, whatsapp(**content)) == 200
    [message] = await messages(redis)
    assert message.message == "Olá"


async def test_caption_is_the_text_on_telegram_and_twilio(door: str, redis: RedisClient) -> None:
    """The words to a picture are taken in there too."""
    assert await tell_telegram(door, telegram(1, photo=[{"file_id": "f"}], caption="Foto")) == 200
    assert await tell_twilio(door, FORM | {"NumMedia": "1", "MediaContentType0": "image/jpeg"}) == 200
    assert sorted(message.message for message in await messages(redis)) == ["Foto", "Olá"]


async def test_message_without_text_gets_a_notice(
    door: str, redis: RedisClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """A voice message: counted, logged without its content, and its sender is told once, however many follow."""
    before = counted("telegram", "voice")
    for number in (1, 1, 2):
        assert await tell_telegram(door, telegram(number, voice={"file_id": "secret-file"})) == 200
    assert await tell_meta(door, whatsapp(type="audio", audio={"id": "secret-file"})) == 200
    assert counted("telegram", "voice") == before + 2
    first, second = await told(redis)
    assert (first.channel, first.channel_metadata, first.response.message) == (
        Channel.TELEGRAM,
        {"chatId": 42},
        SORRY,
    )
    assert (second.channel, second.channel_metadata["to"]) == (Channel.WHATSAPP, f"+{PHONE}")
    assert await messages(redis) == []
    assert await redis.exists(keys.WINDOW + digest(f"+{PHONE}"))
    output = "".join(capfd.readouterr())
    assert "not a text" in output
    assert "secret-file" not in output


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (telegram(1, "edited_message", text="x"), "edited"),
        (telegram(1, "channel_post", text="x"), "channel_post"),
        (telegram(1, "my_chat_member"), "my_chat_member"),
        (telegram(1, chat={"id": -100, "type": "supergroup"}, sticker={}), "sticker"),
        (b'{"update_id": 1, "message": {"chat": {"id": 42, "type": "private"}, "DROP TABLE": 1}}', "other"),
        (telegram(1, pinned_message={}), "other"),
    ],
)
async def test_event_without_a_question_gets_no_notice(
    door: str, redis: RedisClient, body: bytes, kind: str
) -> None:
    """Edits, memberships, notices and stickers in a group are counted by kind, and that is all."""
    before = counted("telegram", kind)
    assert await tell_telegram(door, body) == 200
    assert counted("telegram", kind) == before + 1
    assert await told(redis) == []
    assert await messages(redis) == []


async def test_reaction_gets_no_reply(door: str, redis: RedisClient) -> None:
    """A thumb under our message is counted, not answered."""
    before = counted("whatsapp", "reaction")
    assert await tell_meta(door, whatsapp(type="reaction", reaction={"emoji": "x"})) == 200
    assert counted("whatsapp", "reaction") == before + 1
    assert await told(redis) == []


async def test_edit_is_answered_if_configured(opened: Settings, redis: RedisClient) -> None:
    """With `inbound.edits` the changed text is a further message of the conversation."""
    wished = opened.inbound.model_copy(update={"edits": True})
    async with running(serve, opened.model_copy(update={"inbound": wished})) as life:
        door = life.status.result().removeprefix("listening at ")
        assert await tell_telegram(door, telegram(1, text="Olá")) == 200
        assert await tell_telegram(door, telegram(2, "edited_message", text="Olá!")) == 200
    found = await messages(redis)
    assert sorted(message.message for message in found) == ["Olá", "Olá!"]
    assert len({message.conversation_id for message in found}) == 1


async def test_late_webhook_does_not_open_the_window(door: str, redis: RedisClient) -> None:
    """Meta brings what failed for a week: the window counts from when the customer wrote."""
    now = int(time.time())
    for number, moment in enumerate((now - 50, now - 90_000)):
        word = {"id": f"wamid.{number}", "from": PHONE, "text": {"body": "x"}, "timestamp": str(moment)}
        assert await tell_meta(door, meta(messages=[word])) == 200
    assert await redis.get(keys.WINDOW + digest(f"+{PHONE}")) == str((now - 50) * 1000)


async def test_concurrent_duplicate_webhooks_are_processed_once(door: str, redis: RedisClient) -> None:
    """Twenty at once are one message and one apology."""
    bodies = [telegram(1, text="Olá")] * 20 + [telegram(2, voice={})] * 20
    assert set(await asyncio.gather(*(tell_telegram(door, body) for body in bodies))) == {200}
    assert len(await messages(redis)) == 1
    assert len(await told(redis)) == 1


async def test_webhook_with_a_thousand_statuses_is_processed(door: str, redis: RedisClient) -> None:
    """Meta gathers up to 1000 updates in one: all of them reach their records."""
    for number in range(1000):
        fields: Any = {"state": "SENT", "providerId": f"wamid.{number}", "endedAt": 1}
        await redis.hset(f"{keys.DELIVERY}m{number}", mapping=fields)
    statuses = [
        {"id": f"wamid.{number}", "status": "read", "biz_opaque_callback_data": f"m{number}"}
        for number in range(1000)
    ]
    assert await tell_meta(door, meta(statuses=statuses)) == 200
    read = [await redis.hget(f"{keys.DELIVERY}m{number}", "receipt") for number in range(1000)]
    assert read == ["read"] * 1000
