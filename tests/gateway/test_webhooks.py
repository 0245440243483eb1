"""What providers bring: proved to be theirs, taken in once, mapped to the agent, answered back to that chat."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from pydantic import SecretStr

from daemons.gateway.app import serve
from msgctl.agents.agents import Agent
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.domain.messages import Channel
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import running
from tests.support.webhooks import (
    APP_SECRET,
    FORM,
    PHONE,
    PUBLIC,
    SECRET,
    WORD,
    messages,
    meta,
    post,
    tell_meta,
    tell_telegram,
    tell_twilio,
    update,
)


@pytest.fixture
async def door(settings: Settings, agent: Agent) -> AsyncIterator[str]:
    """The URL of a gateway whose three webhooks are open and lead to Ana's agent."""
    changes: dict[str, dict[str, Any]] = {
        "telegram": {"token": SecretStr("77:x"), "webhook_secret": SecretStr(SECRET), "agent": agent.id},
        "whatsapp": {
            "phone_number_id": "1065",
            "app_secret": SecretStr(APP_SECRET),
            "verify_token": SecretStr("verify me"),
            "agent": agent.id,
        },
        "twilio": {
            "account_sid": "AC1",
            "auth_token": SecretStr("twilio"),
            "sender": "+1415",
            "public_url": PUBLIC,
            "agent": agent.id,
        },
    }
    opened = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    async with running(serve, settings.model_copy(update=opened)) as life:
        yield life.status.result().removeprefix("listening at ")


async def test_telegram_message_is_accepted_once(door: str, redis: RedisClient, agent: Agent) -> None:
    """The same update thrice is one message for the agent's owner, whose reply goes back to that chat."""
    assert [await tell_telegram(door, update()) for _ in range(3)] == [200] * 3
    [message] = await messages(redis)
    assert (message.agent_id, message.user_id, message.message) == (agent.id, "ana", "Olá")
    assert (message.channel, message.channel_metadata) == (Channel.TELEGRAM, {"chatId": 42})
    assert await tell_telegram(door, update(2)) == 200
    assert {one.conversation_id for one in await messages(redis)} == {message.conversation_id}


async def test_reply_in_a_group_quotes_its_message(door: str, redis: RedisClient) -> None:
    """A group's message is replied to by its number."""
    assert await tell_telegram(door, update(3, id=-100, type="supergroup")) == 200
    [message] = await messages(redis)
    assert message.channel_metadata == {"chatId": -100, "replyToMessageId": 5}


async def test_meta_message_is_accepted_once_and_opens_the_window(door: str, redis: RedisClient) -> None:
    """The same webhook twice is one message; the customer's last word is known from then on."""
    assert [await tell_meta(door, meta(**WORD)) for _ in range(2)] == [200, 200]
    [message] = await messages(redis)
    assert (message.channel, message.message) == (Channel.WHATSAPP, "Olá")
    assert message.channel_metadata == {"to": f"+{PHONE}", "provider": "cloud"}
    assert PHONE not in message.conversation_id + message.message_id
    last: Any = await redis.get(keys.WINDOW + digest(f"+{PHONE}"))
    assert abs(int(last) / 1000 - time.time()) < 60


async def test_twilio_message_is_accepted_once(door: str, redis: RedisClient) -> None:
    """The same form twice is one message, to be answered by Twilio."""
    assert [await tell_twilio(door, FORM) for _ in range(2)] == [200, 200]
    [message] = await messages(redis)
    assert message.channel_metadata == {"to": f"+{PHONE}", "provider": "twilio"}


async def test_unsigned_webhook_is_refused(door: str, redis: RedisClient) -> None:
    """A wrong secret, signature or body, or none at all: 401, and nothing is taken in."""
    assert await tell_telegram(door, update(), "another") == 401
    assert await post(f"{door}/webhooks/telegram", update()) == 401
    assert await tell_meta(door, meta(**WORD), "another") == 401
    assert await post(f"{door}/webhooks/whatsapp", meta(**WORD)) == 401
    assert await tell_twilio(door, FORM, secret="another") == 401
    assert await post(f"{door}/webhooks/twilio", urlencode(FORM).encode()) == 401
    assert await messages(redis) == []


async def test_closed_webhooks_do_not_exist(gateway: str, redis: RedisClient) -> None:
    """Without secrets in the settings, every one of them answers 404, even to an empty signature."""
    for name in ("telegram", "whatsapp", "twilio"):
        assert await post(f"{gateway}/webhooks/{name}", b"{}") == 404
    assert await messages(redis) == []


async def test_challenge_is_answered(door: str) -> None:
    """Meta's question is answered with its own challenge, to whoever knows the verify token."""
    async with aiohttp.ClientSession() as http:
        for token, status, text in (("verify me", 200, "1158201444"), ("guess", 401, None)):
            asked = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
            async with http.get(f"{door}/webhooks/whatsapp", params=asked) as answer:
                assert answer.status == status
                assert text is None or await answer.text() == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"update_id": 9}',
        b'{"update_id": 9, "message": {"chat": {"id": 1}, "photo": []}}',
        b'{"update_id": 9, "edited_message": {"chat": {"id": 1}, "text": "x"}}',
        b'{"update_id": 9, "message": {"chat": "x", "text": 3}}',
    ],
)
async def test_webhook_without_text_is_ignored(door: str, redis: RedisClient, body: bytes) -> None:
    """Pictures, edits and oddities are taken from the provider, or it would bring them for days."""
    assert await tell_telegram(door, body) == 200
    assert await tell_meta(door, meta(messages=[{"id": "w", "from": PHONE, "image": {}}, 3], statuses="x")) == 200
    assert await messages(redis) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"update_id": "1"}'])
async def test_invalid_webhook_is_refused(door: str, body: bytes) -> None:
    """What is no update is a bad request, not a fault of ours."""
    assert await tell_telegram(door, body) == 400


async def test_statuses_update_the_record(door: str, redis: RedisClient) -> None:
    """Delivered and read, from Meta and from Twilio by the id in the callback's query, come into the record."""
    for message_id, provider_id in (("m-1", "wamid.7"), ("m-2", "SM7")):
        fields: Any = {"state": "SENT", "channel": "whatsapp", "providerId": provider_id, "endedAt": 1}
        await redis.hset(keys.DELIVERY + message_id, mapping=fields)
    status = {"id": "wamid.7", "status": "delivered", "biz_opaque_callback_data": "m-1"}
    assert await tell_meta(door, meta(statuses=[status])) == 200
    form = {"MessageSid": "SM7", "AccountSid": "AC1", "MessageStatus": "undelivered", "ErrorCode": "63016"}
    assert await tell_twilio(door, form, "?messageId=m-2") == 200
    first, second = await find_record(redis, "m-1"), await find_record(redis, "m-2")
    assert first is not None
    assert second is not None
    assert (first.state, first.receipt) == (DeliveryState.SENT, "delivered")
    assert (second.state, second.code) == (DeliveryState.FAILED, "twilio_63016")
    assert "24 h window" in (second.text or "")


async def test_webhook_is_answered_quickly(door: str) -> None:
    """The median of twenty webhooks is answered within 100 ms."""
    took = []
    for number in range(20):
        begun = time.monotonic()
        assert await tell_telegram(door, update(100 + number)) == 200
        took.append(time.monotonic() - begun)
    assert sorted(took)[10] < 0.1


async def test_webhook_is_rejected_without_its_agent(settings: Settings, redis: RedisClient, agent: Agent) -> None:
    """A route that leads to no agent is a mistake to be mended: 503, so that the provider brings it again."""
    lost = agent.id[:-12] + "0" * 12
    changed = {"token": SecretStr("77:x"), "webhook_secret": SecretStr(SECRET), "agent": lost}
    broken = settings.model_copy(update={"telegram": settings.telegram.model_copy(update=changed)})
    async with running(serve, broken) as life:
        door = life.status.result().removeprefix("listening at ")
        assert await tell_telegram(door, update()) == 503
    assert await messages(redis) == []
