"""Outgoing text, from a committed reply to the requests that strict stand-ins of the providers accept."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import redis as sync_redis

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState
from msgctl.domain.messages import Channel
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.client import RedisClient
from tests.support.provider_settings import provider_settings
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import CHAT, TO, Desk, ended

DATABASE = 9
ADDRESSES: dict[str, tuple[Channel, dict[str, Any]]] = {
    "telegram": (Channel.TELEGRAM, CHAT),
    "HTML": (Channel.TELEGRAM, CHAT | {"parseMode": "HTML"}),
    "MarkdownV2": (Channel.TELEGRAM, CHAT | {"parseMode": "MarkdownV2"}),
    "whatsapp": (Channel.WHATSAPP, TO),
    "twilio": (Channel.WHATSAPP, TO | {"provider": "twilio"}),
}
PHONES = ("telegram", "whatsapp", "twilio")


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    """Strict providers that have been asked nothing yet."""
    async with Providers() as providers:
        yield providers


@pytest.fixture
def settings(valkey: ValkeyServer, providers: Providers) -> Settings:
    """An empty Redis database, and every channel set up against the local providers."""
    with sync_redis.Redis.from_url(valkey.url(DATABASE)) as client:
        client.flushdb()
    return provider_settings(valkey, providers, DATABASE)


@pytest.fixture
def replies(redis: RedisClient) -> Replies:
    """Commits replies as the worker does."""
    return Replies(redis)


def sent_texts(providers: Providers) -> list[str]:
    """The text of each request, whichever provider got it."""
    found = []
    for request in providers.requests:
        if request.form:
            found.append(request.form["Body"])
        else:
            text = request.json["text"]
            found.append(text["body"] if isinstance(text, dict) else text)
    return found


def with_reply(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with another `[reply]`."""
    return settings.model_copy(update={"reply": settings.reply.model_copy(update=changes)})


MARKDOWN = "**Prazo:** 3 dias\n\n### Itens\n- [site](https://example.com/a_b)\n"
WHATSAPP_TEXT = "*Prazo:* 3 dias\n\n*Itens*\n- site (https://example.com/a_b)"
PLAIN_TEXT = "Prazo: 3 dias\n\nItens\n- site (https://example.com/a_b)"


@pytest.mark.parametrize(
    ("address", "chosen", "shown"),
    [
        ("telegram", "", "Prazo: 3 dias\n\nItens\n- site"),
        ("whatsapp", "", WHATSAPP_TEXT),
        ("twilio", "", WHATSAPP_TEXT),
        ("telegram", "plain", PLAIN_TEXT),
        ("whatsapp", "plain", PLAIN_TEXT),
        ("telegram", "as-is", MARKDOWN.strip()),
        ("whatsapp", "as-is", MARKDOWN.strip()),
        ("whatsapp", "a format of a later version", WHATSAPP_TEXT),
        ("HTML", "", MARKDOWN.strip()),
    ],
)
async def test_markdown_is_shown_as_the_channel_can(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    address: str,
    chosen: str,
    shown: str,
) -> None:
    """One request each, by the format of the agent; a declared parse mode leaves the text alone."""
    reply = response(*ADDRESSES[address], text=MARKDOWN)
    if chosen:
        reply = msgspec.structs.replace(reply, format=chosen)
    async with Desk(settings):
        assert (await ended(redis, await replies.commit(reply))).state is DeliveryState.SENT
    assert sent_texts(providers) == [shown]
    [request] = providers.requests
    if (address, chosen) == ("telegram", ""):
        assert request.json["entities"] == [
            {"type": "bold", "offset": 0, "length": 6},
            {"type": "bold", "offset": 15, "length": 5},
            {"type": "text_link", "offset": 23, "length": 4, "url": "https://example.com/a_b"},
        ]


async def test_the_format_of_the_configuration_is_the_default(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """It applies to an agent that sets none, and to no other."""
    plain = response(Channel.TELEGRAM, CHAT, text="**a**")
    own = msgspec.structs.replace(plain, message_id="own", format="as-is")
    async with Desk(with_reply(settings, format="plain")):
        for reply in (plain, own):
            assert (await ended(redis, await replies.commit(reply))).state is DeliveryState.SENT
    assert sent_texts(providers) == ["a", "**a**"]
    assert all("entities" not in request.json for request in providers.requests)


@pytest.mark.parametrize("address", PHONES)
@pytest.mark.parametrize(
    "text", ["\u200b\u2060\ufeff", "\u2800", "\u3164", "\u202e\u200f", "\x01\x02", "\0", " \n\u3000", ""]
)
async def test_a_reply_that_shows_nothing_reaches_no_provider(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    address: str,
    text: str,
) -> None:
    """It fails for good, by the name of its fault."""
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(*ADDRESSES[address], text=text)))
    assert (record.state, record.code, record.attempts) == (DeliveryState.FAILED, "blank_reply", 1)
    assert providers.requests == []


@pytest.mark.parametrize("address", PHONES)
@pytest.mark.parametrize(
    ("text", "shown"), [("a\0b", "ab"), ("\u200bOi", "\u200bOi"), ("👨‍👩‍👧", "👨‍👩‍👧"), ("a\x07b", "ab")]
)
async def test_a_provider_gets_what_can_be_seen(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    address: str,
    text: str,
    shown: str,
) -> None:
    """Without NUL and control characters, and with everything that makes up a visible character."""
    async with Desk(settings):
        assert (
            await ended(redis, await replies.commit(response(*ADDRESSES[address], text=text)))
        ).state is DeliveryState.SENT
    assert sent_texts(providers) == [shown]


@pytest.mark.parametrize(
    ("address", "text", "parts"),
    [
        ("HTML", "<pre>" + "x\n" * 2500 + "</pre>", 2),
        ("HTML", "a" * 4093 + "&amp;" + "b" * 50, 2),
        ("HTML", '<b>x <a href="https://e.com/?a=1&amp;b=2">' + "palavra " * 1200 + "</a></b>", 3),
        ("MarkdownV2", "*" + "palavra " * 600 + "fim*", 2),
        ("MarkdownV2", "1\\. " + "palavra\\! " * 5000, 10),
        ("telegram", "**" + "palavra " * 600 + "fim**", 2),
        ("telegram", "```py\n" + "x = 1\n" * 1000 + "```", 2),
        ("telegram", "[a](https://e.com) " * 250, 3),
        ("telegram", "😀 **né**\n\n" * 1200, 12),
        ("twilio", "**" + "palavra " * 600 + "fim**", 4),
        ("whatsapp", "uma frase. " * 9000, 10),
    ],
)
async def test_no_part_of_a_long_reply_is_refused(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    address: str,
    text: str,
    parts: int,
) -> None:
    """As many requests as parts: no mark-up is torn by a cut, so nothing is sent a second time as plain text."""
    async with Desk(with_reply(settings, max_parts=max(10, parts))):
        record = await ended(redis, await replies.commit(response(*ADDRESSES[address], text=text)))
    assert (record.state, record.part, len(providers.requests)) == (DeliveryState.SENT, parts, parts)


@pytest.mark.parametrize("address", PHONES)
@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301" * 8200, "👩\u200d" * 8200, "🇧🇷" * 4000, "\u0301" * 200_000],
    ids=["accents", "joiners", "flags", "200,000 accents"],
)
async def test_sixteen_kilobytes_of_accents_are_a_few_messages(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    address: str,
    text: str,
) -> None:
    """A degenerate reply is bounded like any other, and does not hold up the reply to somebody else."""
    async with Desk(settings):
        long_reply = await replies.commit(response(*ADDRESSES[address], text=text, conversation="long"))
        other = await replies.commit(response(*ADDRESSES[address], text="Oi", conversation="other"))
        for reply in (other, long_reply):
            assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert len(providers.requests) <= 11


@pytest.mark.parametrize("address", PHONES)
async def test_a_megabyte_is_ten_messages_and_a_word(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, address: str
) -> None:
    """The last one ends with the closing word, and operators see in a counter that it was cut."""
    counter = metrics.REPLIES_CUT.labels(ADDRESSES[address][0])
    before = counter._value.get()
    async with Desk(with_reply(settings, closing="(continua no site)")):
        text = "Uma frase que não tem fim. " * 40_000
        record = await ended(redis, await replies.commit(response(*ADDRESSES[address], text=text)))
    assert (record.state, record.part, counter._value.get() - before) == (DeliveryState.SENT, 10, 1)
    texts = sent_texts(providers)
    assert [one.endswith("fim.\n\n(continua no site)") for one in texts] == [False] * 9 + [True]


@pytest.mark.parametrize("address", PHONES)
async def test_a_reply_that_is_too_long_can_be_refused(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, address: str
) -> None:
    """Nothing of it is sent, and after the limit was raised a retry sends all of it."""
    async with Desk(with_reply(settings, overflow="refuse", max_parts=2)):
        record = await ended(redis, await replies.commit(response(*ADDRESSES[address], text="palavra " * 3000)))
    assert (record.state, record.code) == (DeliveryState.FAILED, "reply_too_long")
    assert "max_parts" in (record.text or "")
    assert providers.requests == []


@pytest.mark.parametrize(
    "problem",
    [
        "can't parse entities: Can't find end of the entity starting at byte offset 3",
        "can't parse MessageEntity: Can't find field \"url\"",
        "ENTITY_BOUNDS_INVALID",
        "ENTITIES_TOO_LONG",
    ],
)
async def test_mark_up_that_telegram_refuses_is_sent_as_plain_text(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, problem: str
) -> None:
    """Once more, without entities, instead of failing."""
    providers.answers.append((400, {"ok": False, "error_code": 400, "description": f"Bad Request: {problem}"}))
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT, text="**Oi** você")))
    assert (record.state, sent_texts(providers)) == (DeliveryState.SENT, ["Oi você"] * 2)
    assert ["entities" in request.json for request in providers.requests] == [True, False]


async def test_other_refusals_are_not_repeated(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A chat that does not exist is no fault of the mark-up."""
    providers.answers.append((400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}))
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT, text="**Oi**")))
    assert (record.state, record.code, len(providers.requests)) == (DeliveryState.FAILED, "telegram_400", 1)
