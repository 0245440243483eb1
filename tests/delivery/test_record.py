"""The delivery record after success, rejection, unknown outcome and crash, and as the fence of a second send."""

import secrets
from typing import Any

import pytest

from msgctl.channels.registry import find_channel
from msgctl.channels.telegram.sender import TelegramSender
from msgctl.config.settings import Settings
from msgctl.delivery.attempt import DeliveryRunner
from msgctl.delivery.channel_state import ChannelStateStore
from msgctl.delivery.delivery_record import DeliveryRecords, DeliveryState, SendPermit, find_record
from msgctl.delivery.response_stream import ResponseStream
from msgctl.domain.errors import FaultClass, ProviderRejected
from msgctl.domain.messages import Channel
from msgctl.domain.retry import RetryLater
from msgctl.http.client import HttpClient
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended
from tools.support.daemons import until

CHAT = {"chatId": 42}


def doubted() -> float:
    """Return how many Telegram deliveries this process has counted as UNKNOWN."""
    return float(metrics.DELIVERIES.labels("telegram", "unknown")._value.get())


async def test_sent_reply_is_recorded(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """It is SENT, with the provider's id and both times, and its entry is acknowledged."""
    async with Desk(settings):
        record = await ended(redis, reply := await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.provider_id, record.attempts) == (DeliveryState.SENT, "1", 1)
    assert record.created_at is not None
    assert record.created_at <= (record.sending_at or 0) <= (record.ended_at or 0)
    assert await replies.pending() == 0
    assert await redis.pttl(keys.DELIVERY + reply.message_id) > 0


async def test_record_is_missing_before_the_first_attempt(redis: RedisClient) -> None:
    """A message without a delivery has no record."""
    assert await find_record(redis, "nobody") is None


async def test_sending_is_written_before_the_call(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Until the provider answers, the record is SENDING."""
    providers.answers.append("hang")
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await until(lambda: providers.requests, "the call")
        record = await find_record(redis, reply.message_id)
    assert record is not None
    assert (record.state, record.channel) == (DeliveryState.SENDING, "telegram")


async def test_hanging_provider_leads_to_unknown(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Without an answer before the deadline it is UNKNOWN, and the provider is not called again."""
    hasty = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"timeout": 0.3})})
    providers.answers.append("hang")
    async with Desk(hasty):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.code) == (DeliveryState.UNKNOWN, "delivery_unknown")
    assert len(providers.requests) == 1


async def test_transient_failures_are_retried(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """After two 429 and a 503 it is SENT; Redis kept the delays."""
    providers.answers.extend([(429, {"parameters": {"retry_after": 0}}), (503, {}), (429, {})])
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.attempts, record.code) == (DeliveryState.SENT, 2, None)
    assert len(providers.requests) == 4
    assert await redis.zcard(keys.POSTPONED) == 0


async def test_delivery_fails_after_its_last_attempt(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """After the configured number of attempts it is FAILED, with the code of the last one."""
    providers.answers.extend([(408, {})] * 5)
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.attempts, record.code) == (DeliveryState.FAILED, 3, "telegram_408")
    assert len(providers.requests) == 3


@pytest.mark.parametrize(
    ("channel", "metadata", "code"),
    [
        (Channel.TELEGRAM, {}, "bad_address"),
        (Channel.WHATSAPP, {"to": "x"}, "bad_address"),
        (Channel.API, {"callbackUrl": "http://10.0.0.1/"}, "bad_address"),
    ],
)
async def test_bad_metadata_is_recorded(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    channel: Channel,
    metadata: dict[str, Any],
    code: str,
) -> None:
    """A reply without an address is FAILED, and the next one of its conversation is sent."""
    async with Desk(settings):
        bad = await ended(redis, await replies.commit(response(channel, metadata)))
        good = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (bad.state, bad.code, bad.attempts) == (DeliveryState.FAILED, code, 1)
    assert good.state is DeliveryState.SENT


async def test_a_blank_reply_is_recorded(settings: Settings, redis: RedisClient, replies: Replies) -> None:
    """A reply of white space is a final failure without a call to the provider."""
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT, text=" \n ")))
    assert (record.state, record.code) == (DeliveryState.FAILED, "blank_reply")


async def test_a_long_reply_goes_in_parts_in_order(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Each part is sent once, in order, although one is retried; the record has every id."""
    text = "\n\n".join(str(number) * 4000 for number in range(1, 5))
    async with Desk(settings):
        providers.answers.extend([(200, {"ok": True, "result": {"message_id": 900}}), (503, {})])
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT, text=text)))
    assert [sent[0] for sent in providers.texts()] == ["1", "2", "2", "3", "4"]
    assert (record.state, record.part, record.provider_id) == (DeliveryState.SENT, 4, "900,1,2,3")


async def test_sent_response_is_not_sent_again(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The same response in a second entry finds its record and is only acknowledged."""
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await ended(redis, reply)
        await replies.put(reply)
        other = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c2"))
        await ended(redis, other)

        async def settled() -> bool:
            return await replies.pending() == 0

        await until(settled, "the repetition to be acknowledged")
    assert len(providers.requests) == 2


async def test_callback_of_unknown_outcome_is_repeated(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A broken connection does not end a callback: the receiver deduplicates by `webhook-id`."""
    providers.answers.append("cut")
    async with Desk(settings):
        metadata = {"callbackUrl": f"{providers.url}/hook"}
        record = await ended(redis, await replies.commit(response(Channel.API, metadata)))
    assert (record.state, record.attempts) == (DeliveryState.SENT, 2)
    first, second = providers.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_dead_sender_leaves_an_unknown_outcome(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The sender dies before the answer: the next subscriber records UNKNOWN once and does not send."""
    providers.answers.append("hang")
    async with Desk(settings, "first") as first:
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await until(lambda: providers.requests, "the call")
        await first.kill()
        before = doubted()
        async with Desk(settings, "second"):
            record = await ended(redis, reply)
    assert (record.state, record.code) == (DeliveryState.UNKNOWN, "sender_lost")
    assert len(providers.requests) == 1
    assert doubted() == before + 1


async def test_each_rejection_for_a_rate_is_counted(
    settings: Settings, redis: RedisClient, replies: Replies
) -> None:
    """The record counts rejections for a rate, so that the delay can grow; they do not count as attempts."""
    records = DeliveryRecords(redis, settings)
    reply = await replies.commit(response(Channel.WHATSAPP, {"to": "+5511999990000"}))
    stream = ResponseStream(redis, settings, "one")
    await stream.ensure_group()
    limited = ProviderRejected(
        "x", fault=FaultClass.TRANSIENT, code="whatsapp_131056", exceeded_limit="pair", initial_pause_s=4
    )
    seen = []
    for _ in range(3):
        [entry] = await stream.read() or await stream.read()
        turn = await records.begin_attempt(entry, reply, secrets.token_hex(4), idempotent=False)
        assert isinstance(turn, SendPermit)
        seen.append((turn.attempts, turn.rate_waits))
        await records.schedule_retry(
            entry, turn, reply.to_json(), delay_s=0, failure=limited, counts_as_attempt=False
        )
        await stream.maintain()
    await stream.close()
    assert seen == [(1, 0), (1, 1), (1, 2)]


async def test_the_pause_for_a_rate_grows_unless_the_provider_names_one(
    settings: Settings, redis: RedisClient, poster: HttpClient
) -> None:
    """131056: 4 s, 16 s, 64 s …, an hour at most; if a provider asks for a delay, exactly that."""
    runner = DeliveryRunner(
        settings,
        DeliveryRecords(redis, settings),
        ChannelStateStore(redis, settings),
        TelegramSender(settings, poster),
        find_channel("telegram"),
    )
    growing = ProviderRejected(
        "x", fault=FaultClass.TRANSIENT, code="whatsapp_131056", exceeded_limit="pair", initial_pause_s=4
    )
    asked = ProviderRejected(
        "x", fault=FaultClass.TRANSIENT, code="telegram_429", exceeded_limit="bot", retry_after=7
    )
    permits = [SendPermit("t", 0, 1, rate_waits=waits) for waits in range(7)]
    assert [runner.decide_retry(permit, growing) for permit in permits] == [
        RetryLater(wait, counts_as_attempt=False) for wait in (4, 16, 64, 256, 1024, 3600, 3600)
    ]
    assert {runner.decide_retry(permit, asked) for permit in permits} == {RetryLater(7, counts_as_attempt=False)}


async def test_unreadable_entry_is_skipped(
    settings: Settings, redis: RedisClient, replies: Replies, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries with invalid JSON or missing fields do not stop the subscriber; the log omits their text."""
    for body in ("{", '{"messageId":"m"}', "[1]", "the secret words"):
        await redis.xadd(keys.RESPONSES, {"kind": "response", "channel": "web", "body": body})
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert record.state is DeliveryState.SENT
    assert await replies.pending() == 0
    assert "secret words" not in caplog.text


async def test_the_token_is_in_no_record_and_no_log(
    settings: Settings, redis: RedisClient, replies: Replies, capfd: pytest.CaptureFixture[str]
) -> None:
    """An unreachable host is reported without the bot's token."""
    closed = settings.telegram.model_copy(update={"base_url": "http://127.0.0.1:9"})
    async with Desk(settings.model_copy(update={"telegram": closed})):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.code) == (DeliveryState.FAILED, "provider_unreachable")
    output = "".join(capfd.readouterr())
    assert "telegram" in output
    assert "AAF-secret_of_the_bot" not in output + (record.text or "")
