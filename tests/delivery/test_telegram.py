"""Telegram: the exact requests, and the meaning of the answers."""

import pytest
from pydantic import SecretStr

from msgctl.channels.telegram.sender import TelegramSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    BadAddress,
    DeliveryUnknown,
    FaultClass,
    ProviderRejected,
    ProviderUnreachable,
)
from msgctl.domain.messages import Channel
from msgctl.http.client import HttpClient
from tests.support.providers import Answer, Providers
from tests.support.replies import response


@pytest.fixture
def telegram(settings: Settings, poster: HttpClient) -> TelegramSender:
    """The sender."""
    return TelegramSender(settings, poster)


async def test_the_request(telegram: TelegramSender, providers: Providers) -> None:
    """The request carries the chat, the text, the replied message and the parse mode; `message_id` is the id."""
    metadata = {"chatId": 42, "replyToMessageId": 7, "parseMode": "HTML"}
    sent = await telegram.send(response(Channel.TELEGRAM, metadata), TextPart("Olá"), first=True)
    assert sent == "1"
    [request] = providers.requests
    assert request.path == "/bot123456:AAF-secret_of_the_bot/sendMessage"
    assert request.headers["Content-Type"] == "application/json"
    assert request.json == {
        "chat_id": 42,
        "text": "Olá",
        "parse_mode": "HTML",
        "reply_parameters": {"message_id": 7, "allow_sending_without_reply": True},
    }


async def test_only_the_first_part_is_a_reply(telegram: TelegramSender, providers: Providers) -> None:
    """Further parts do not quote the user's message again."""
    await telegram.send(
        response(Channel.TELEGRAM, {"chatId": 42, "replyToMessageId": 7}), TextPart("b"), first=False
    )
    assert providers.requests[0].json == {"chat_id": 42, "text": "b"}


async def test_unparsable_markup_is_sent_as_plain_text(telegram: TelegramSender, providers: Providers) -> None:
    """After a parse failure the reply is sent once more, without markup."""
    await telegram.send(
        response(Channel.TELEGRAM, {"chatId": 42, "parseMode": "MarkdownV2"}), TextPart("2*3 = 6"), first=True
    )
    assert [request.json.get("parse_mode") for request in providers.requests] == ["MarkdownV2", None]


@pytest.mark.parametrize(
    ("status", "document", "fault", "retry_after"),
    [
        (403, {"ok": False, "description": "Forbidden: bot was blocked"}, FaultClass.FINAL, None),
        (400, {"ok": False, "description": "Bad Request: chat not found"}, FaultClass.FINAL, None),
        (429, {"ok": False, "parameters": {"retry_after": 5}}, FaultClass.TRANSIENT, 5.0),
    ],
)
async def test_rejection_is_classified(
    *,
    telegram: TelegramSender,
    providers: Providers,
    status: int,
    document: dict[str, object],
    fault: FaultClass,
    retry_after: float | None,
) -> None:
    """403 and 400 are final, and 429 waits as long as Telegram asks."""
    providers.answers.append((status, document))
    with pytest.raises(ProviderRejected) as raised:
        await telegram.send(response(Channel.TELEGRAM, {"chatId": 42}), TextPart("x"), first=True)
    assert (raised.value.fault, raised.value.retry_after) == (fault, retry_after)
    assert raised.value.code == f"telegram_{status}"


@pytest.mark.parametrize("answer", ["cut", "hang", (200, {"ok": True})])
async def test_unusable_answer_leads_to_unknown(settings: Settings, providers: Providers, answer: Answer) -> None:
    """A request that was sent and got no usable answer may have arrived."""
    hasty = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"timeout": 0.3})})
    providers.answers.append(answer)
    async with HttpClient(hasty) as poster:
        with pytest.raises(DeliveryUnknown):
            await TelegramSender(hasty, poster).send(
                response(Channel.TELEGRAM, {"chatId": 42}), TextPart("x"), first=True
            )
    assert len(providers.requests) == 1


async def test_refused_connection_is_not_sent(settings: Settings, poster: HttpClient) -> None:
    """No server listens: nothing was sent, and the error does not contain the token."""
    nowhere = settings.telegram.model_copy(update={"base_url": "http://127.0.0.1:9"})
    telegram = TelegramSender(settings.model_copy(update={"telegram": nowhere}), poster)
    with pytest.raises(ProviderUnreachable) as raised:
        await telegram.send(response(Channel.TELEGRAM, {"chatId": 42}), TextPart("x"), first=True)
    assert "AAF-secret_of_the_bot" not in f"{raised.value!r} {raised.value.__cause__!r}"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"chatId": None},
        {"chatId": True},
        {"chatId": {"id": 1}},
        {"chatId": 1, "parseMode": "Word"},
        {"chatId": 1, "replyToMessageId": "7"},
    ],
)
async def test_bad_metadata_is_final(
    telegram: TelegramSender, providers: Providers, metadata: dict[str, object]
) -> None:
    """Metadata without a valid chat is a typed, final failure, and no request is made."""
    with pytest.raises(BadAddress) as raised:
        await telegram.send(response(Channel.TELEGRAM, metadata), TextPart("x"), first=True)
    assert raised.value.fault is FaultClass.FINAL
    assert providers.requests == []


async def test_second_bot_sends_if_it_is_named(
    settings: Settings, poster: HttpClient, providers: Providers
) -> None:
    """The first of two tokens is the default; `channelMetadata.bot` chooses, and each bot has its own rate."""
    tokens = SecretStr("123456:AAF-secret_of_the_bot 88:y")
    telegram = TelegramSender(
        settings.model_copy(update={"telegram": settings.telegram.model_copy(update={"token": tokens})}), poster
    )
    providers.answers.extend([(200, {"ok": True, "result": {"message_id": 1}})] * 2)
    usual, second = (
        response(Channel.TELEGRAM, {"chatId": 42}),
        response(Channel.TELEGRAM, {"chatId": 42, "bot": "88"}),
    )
    for reply in (usual, second):
        await telegram.send(reply, TextPart("x"), first=True)
    assert [request.path for request in providers.requests] == [
        "/bot123456:AAF-secret_of_the_bot/sendMessage",
        "/bot88:y/sendMessage",
    ]
    names = {bucket.name for bucket in telegram.send_limits(usual).buckets}
    assert names.isdisjoint(bucket.name for bucket in telegram.send_limits(second).buckets)
    strangers: list[object] = ["99", {}, 77]
    for bot in strangers:
        with pytest.raises(BadAddress, match="bot"):
            await telegram.send(response(Channel.TELEGRAM, {"chatId": 42, "bot": bot}), TextPart("x"), first=True)
