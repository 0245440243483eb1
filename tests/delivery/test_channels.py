"""A whole channel: its shared rates, its pause, and its circuit breaker."""

import time
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from msgctl.channels import registry
from msgctl.channels.base import ReplyWindow
from msgctl.channels.registry import find_channel
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.domain.messages import Channel
from msgctl.operations.channels import Channels
from msgctl.operations.channels import ChannelState as Seen
from msgctl.operations.context import Context
from msgctl.operations.deliveries import Deliveries
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import CHAT, TO, Desk, ended, held
from tools.support.daemons import until


def changed(settings: Settings, section: str, **values: Any) -> Settings:
    """Return the settings with some values of a section changed."""
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


async def channel_of(settings: Settings, redis: RedisClient, name: Channel) -> Seen:
    """Return the row of `channel list` for a channel."""
    return next(state for state in await Channels(Context(settings, redis)).list() if state.channel == name)


async def test_chat_rate_is_shared_by_subscribers(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Two subscribers send four conversations to one chat: no two calls are closer than the rate permits."""
    moments: list[float] = []
    providers.slow = lambda _request: moments.append(time.monotonic()) or 0.0  # type: ignore[func-returns-value]
    slow = changed(settings, "telegram", chat_rate=5)
    sent = [await replies.commit(response(Channel.TELEGRAM, CHAT, conversation=f"c{one}")) for one in range(4)]
    async with Desk(slow, "a"), Desk(slow, "b"):
        states = [(await ended(redis, reply)).state for reply in sent]
    assert set(states) == {DeliveryState.SENT}
    assert moments[-1] - moments[0] > 0.5  # three pauses of 0.2 s, less what a call may be delayed by
    assert len(moments) == 4


async def test_429_closes_the_rate_of_the_bot_for_all_processes(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """F23: within `retry_after` no process calls for any chat; the wait does not count as an attempt."""
    moments: list[float] = []
    providers.slow = lambda _request: moments.append(time.monotonic()) or 0.0  # type: ignore[func-returns-value]
    providers.answers.append((429, {"ok": False, "parameters": {"retry_after": 2}}))
    async with Desk(settings, "a"), Desk(settings, "b"):
        first = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await until(lambda: moments, "the first call")
        rest = [
            await replies.commit(response(Channel.TELEGRAM, {"chatId": n}, conversation=f"c{n}")) for n in (7, 8)
        ]
        records = [await ended(redis, reply) for reply in (first, *rest)]
    assert [(record.state, record.attempts) for record in records] == [(DeliveryState.SENT, 1)] * 3
    assert moments[1] - moments[0] >= 1.9


async def test_a_pair_bursts_and_then_waits(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """WhatsApp: 45 messages go to one customer in a burst; the 46th waits for the pair's rate and is not lost."""
    for number in range(46):
        last = await replies.commit(response(Channel.WHATSAPP, TO, conversation=f"w{number}"))
    async with Desk(settings):
        await until(lambda: len(providers.requests) == 45, "the burst")

        async def waits() -> bool:
            return int(await redis.zcard(keys.POSTPONED)) == 1

        await until(waits, "the last to wait")
    assert len(providers.requests) == 45
    assert last is not None


async def test_paused_channel_holds_only_its_own_deliveries(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While Telegram is paused WhatsApp continues; after `resume` all are sent in order, uncounted."""
    channels = Channels(Context(settings, redis))
    assert await channels.pause(Channel.TELEGRAM)
    assert not await channels.pause(Channel.TELEGRAM)
    async with Desk(settings):
        mine = [await replies.commit(response(Channel.TELEGRAM, CHAT, text=f"{one:02}")) for one in range(20)]
        other = await replies.commit(response(Channel.WHATSAPP, TO, conversation="w"))
        assert (await ended(redis, other)).state is DeliveryState.SENT
        await held(redis, Channel.TELEGRAM, 20)
        state = await channel_of(settings, redis, Channel.TELEGRAM)
        assert (state.state, state.reason, state.held) == ("paused", "operator", 20)
        assert await channels.resume(Channel.TELEGRAM)
        records = [await ended(redis, reply) for reply in mine]
    assert {record.attempts for record in records} == {1}
    assert providers.texts() == [f"{one:02}" for one in range(20)]


@pytest.mark.parametrize(
    ("channel", "metadata", "answer", "code"),
    [
        (Channel.TELEGRAM, CHAT, (401, {"ok": False}), "telegram_401"),
        (Channel.WHATSAPP, TO, (401, {"error": {"code": 190}}), "whatsapp_190"),
        (Channel.WHATSAPP, TO | {"provider": "twilio"}, (401, {"code": 20003}), "twilio_20003"),
    ],
)
async def test_bad_credentials_stop_the_channel(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    capfd: pytest.CaptureFixture[str],
    channel: Channel,
    metadata: dict[str, Any],
    answer: Any,
    code: str,
) -> None:
    """There is one call and an alarm with advice; the deliveries wait until an operator resumes the channel."""
    providers.answers.append(answer)
    async with Desk(settings):
        first = await replies.commit(response(channel, metadata))
        await held(redis, channel, 1)
        second = await replies.commit(response(channel, metadata))
        await held(redis, channel, 2)
        state = await channel_of(settings, redis, channel)
        assert (state.state, state.reason, state.last_error) == ("paused", code, code)
        assert state.advice
        assert len(providers.requests) == 1
        await Channels(Context(settings, redis)).resume(channel)
        for reply in (first, second):
            assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert "Channel stopped" in "".join(capfd.readouterr())


async def test_failing_channel_opens_its_breaker_and_recovers(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Three failures in a row open it; one delivery probes it, and the others follow when that succeeds."""
    fast = changed(changed(settings, "breaker", streak=3, pause=0.5, cap=1), "retry", base=2, cap=2)
    providers.sick = True
    async with Desk(fast):
        sent = [
            await replies.commit(response(Channel.TELEGRAM, {"chatId": n}, conversation=f"c{n}"))
            for n in range(1, 4)
        ]

        async def broken() -> bool:
            return (await channel_of(fast, redis, Channel.TELEGRAM)).state == "broken"

        await until(broken, "the breaker to open")
        providers.sick = False
        other = await replies.commit(response(Channel.WHATSAPP, TO, conversation="w"))
        assert (await ended(redis, other)).state is DeliveryState.SENT
        for reply in sent:
            assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert (await channel_of(fast, redis, Channel.TELEGRAM)).state == "open"


async def test_a_callback_that_is_gone_is_not_called_again(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """410 ends this delivery, disables the URL for a while, and is shown; other URLs of the host are called."""
    providers.answers.append((410, {}))
    hook = {"callbackUrl": f"{providers.url}/hook"}
    async with Desk(settings):
        first = await ended(redis, await replies.commit(response(Channel.API, hook)))
        second = await ended(redis, await replies.commit(response(Channel.API, hook)))
        other = await ended(
            redis, await replies.commit(response(Channel.API, {"callbackUrl": f"{providers.url}/b"}))
        )
    assert [first.code, second.code] == ["callback_410", "callback_gone"]
    assert other.state is DeliveryState.SENT
    assert len(providers.requests) == 2
    assert (await channel_of(settings, redis, Channel.API)).urls_gone == ["127.0.0.1"]


async def test_a_callback_keeps_its_schedule(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """There are as many attempts as the schedule has, none earlier than it or `Retry-After` says; then FAILED."""
    moments: list[float] = []
    providers.slow = lambda _request: moments.append(time.monotonic()) or 0.0  # type: ignore[func-returns-value]
    providers.answers.extend([(500, {}), web.Response(status=503, headers={"Retry-After": "1"}), (500, {})])
    async with Desk(changed(settings, "callback", schedule=[0, 0.3, 0.1])):
        metadata = {"callbackUrl": f"{providers.url}/hook"}
        record = await ended(redis, await replies.commit(response(Channel.API, metadata)))
    assert (record.state, record.attempts, record.code) == (DeliveryState.FAILED, 3, "callback_500")
    assert [moments[1] - moments[0] >= 0.3, moments[2] - moments[1] >= 1.0] == [True, True]


@pytest.mark.parametrize(("hours", "state"), [(23, DeliveryState.SENT), (25, DeliveryState.FAILED)])
async def test_provider_is_not_called_outside_the_window(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    hours: int,
    state: DeliveryState,
) -> None:
    """WhatsApp rejects text 24 h after the customer's last message; if that time is known, it is not called."""
    last = int(time.time() * 1000) - hours * 3_600_000
    await redis.set(keys.WINDOW + digest("+5511999990000"), last, ex=3600)
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.WHATSAPP, TO)))
    assert record.state is state
    assert record.code == ("window_closed" if hours > 24 else None)
    assert len(providers.requests) == (1 if hours < 24 else 0)


@pytest.mark.parametrize(("minutes", "state"), [(59, DeliveryState.SENT), (61, DeliveryState.FAILED)])
async def test_window_and_its_text_are_those_of_the_channel(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    state: DeliveryState,
) -> None:
    """A channel with a window of an hour is not called after it, and the record has the channel's own words."""
    advice = {"window_closed": "An hour has passed."}
    spec = replace(find_channel("whatsapp"), reply_window=ReplyWindow(3600, "closed"), error_advice=advice)
    monkeypatch.setitem(registry._BY_NAME, "whatsapp", spec)
    last = int(time.time() * 1000) - minutes * 60_000
    await redis.set(keys.WINDOW + digest("+5511999990000"), last, ex=3600)
    async with Desk(settings):
        record = await ended(redis, await replies.commit(response(Channel.WHATSAPP, TO)))
    assert record.state is state
    assert (record.code, record.text) == (
        (None, None) if state is DeliveryState.SENT else ("window_closed", "An hour has passed.")
    )


async def test_operator_retries_and_drops_deliveries(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A FAILED delivery is sent again from its kept body; a waiting one is dropped; an ended one is unchanged."""
    deliveries = Deliveries(Context(settings, redis))
    providers.answers.extend([(403, {"ok": False}), web.Response(status=503, headers={"Retry-After": "3600"})])
    async with Desk(settings):
        failed = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await ended(redis, failed)
        waiting = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c2"))

        async def postponed() -> bool:
            record = await find_record(redis, waiting.message_id)
            return record is not None and record.code == "telegram_503"

        await until(postponed, "a pause")
        assert await deliveries.drop([waiting.message_id]) == {waiting.message_id: "dropped"}
        assert await deliveries.retry([failed.message_id, "nobody"]) == {
            failed.message_id: "retried",
            "nobody": "missing",
        }
        assert (await ended(redis, failed)).state is DeliveryState.SENT
        assert await deliveries.retry([failed.message_id]) == {failed.message_id: "sent"}
    record = await find_record(redis, waiting.message_id)
    assert record is not None
    assert (record.state, record.code) == (DeliveryState.FAILED, "dropped")


async def test_channel_test_reports_a_paused_channel(settings: Settings, redis: RedisClient) -> None:
    """`channel test` explains why nothing arrives."""
    channels = Channels(Context(settings, redis))
    await channels.pause(Channel.TELEGRAM)
    async with Desk(settings):
        test = await channels.send_test(Channel.TELEGRAM, "42")
        await held(redis, Channel.TELEGRAM, 1)
        outcome = await channels.wait_for_outcome(test, 0)
    assert (outcome["state"], outcome["code"]) == ("NEW", "held")
    assert "msgctl channel resume telegram" in outcome["advice"]


async def test_a_delivery_is_listed_once(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A delivery with two attempts has had two stream entries, and is one row."""
    providers.answers.append((503, {}))
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await ended(redis, reply)
    listed = await Deliveries(Context(settings, redis)).newest(10)
    assert [(one.message_id, one.state, one.attempts) for one in listed] == [(reply.message_id, "SENT", 2)]
