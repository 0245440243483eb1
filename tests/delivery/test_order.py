"""Order within a conversation, and independence of conversations and channels."""

import asyncio

from aiohttp import web

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.domain.messages import Channel
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended
from tools.support.daemons import until

CHAT = {"chatId": 42}


async def test_replies_of_a_conversation_leave_in_order(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """With three subscribers, four conversations and failures, the texts of each conversation arrive in order."""
    providers.answers.extend([(503, {}), (429, {}), (503, {})])
    providers.slow = lambda _request: 0.005
    sent = [
        await replies.commit(response(Channel.TELEGRAM, CHAT, conversation=f"c{lane}", text=f"{lane} {number:02}"))
        for number in range(8)
        for lane in range(4)
    ]
    async with Desk(settings, "a"), Desk(settings, "b"), Desk(settings, "c"):
        for reply in sent:
            assert (await ended(redis, reply)).state is DeliveryState.SENT
    texts = list(dict.fromkeys(providers.texts()))  # a failed try shows twice
    for lane in range(4):
        mine = [text for text in texts if text.startswith(f"{lane} ")]
        assert mine == sorted(mine)
        assert len(mine) == 8


async def test_a_waiting_retry_holds_back_its_own_conversation_only(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While the first reply waits for its retry, the second waits too, and another conversation does not."""
    providers.answers.append(web.Response(status=503, headers={"Retry-After": "3600"}))
    async with Desk(settings):
        first = await replies.commit(response(Channel.TELEGRAM, CHAT))

        async def postponed() -> bool:
            record = await find_record(redis, first.message_id)
            return record is not None and record.code == "telegram_503"

        await until(postponed, "the first to be postponed")
        second = await replies.commit(response(Channel.TELEGRAM, CHAT))
        other = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c2"))
        assert (await ended(redis, other)).state is DeliveryState.SENT

        async def waits() -> bool:
            record = await find_record(redis, second.message_id)
            return record is not None and record.state is DeliveryState.NEW

        await until(waits, "the second to wait")
    assert len(providers.requests) == 2


async def test_hanging_channel_delays_no_other(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While every WhatsApp slot hangs and more deliveries wait, Telegram and web deliver immediately."""
    few = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"concurrency": 2})})
    providers.slow = lambda request: 3600 if request.path.endswith("/messages") else 0
    for number in range(30):
        await replies.commit(response(Channel.WHATSAPP, {"to": "+5511999990000"}, conversation=f"w{number}"))
    async with Desk(few):
        await until(lambda: len(providers.requests) == 2, "both slots to hang")
        phone = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="t"))
        web = await replies.commit(response(conversation="b"))
        assert (await ended(redis, phone)).state is DeliveryState.SENT
        assert (await ended(redis, web)).state is DeliveryState.KEPT


async def test_conversation_with_a_long_backlog_leaves_capacity_to_others(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While its receiver hangs on the first of many replies, another conversation of the channel continues."""
    few = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"concurrency": 2})})
    providers.slow = lambda request: 3600 if request.path == "/hangs" else 0
    for _ in range(30):
        await replies.commit(response(Channel.API, {"callbackUrl": f"{providers.url}/hangs"}))
    async with Desk(few):
        await until(lambda: len(providers.requests) == 1, "the first to hang")
        other = await replies.commit(
            response(Channel.API, {"callbackUrl": f"{providers.url}/works"}, conversation="c2")
        )
        assert (await ended(redis, other)).state is DeliveryState.SENT
        assert [request.path for request in providers.requests] == ["/hangs", "/works"]


async def test_concurrency_is_bounded(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """No more concurrent calls than configured; deliveries beyond the memory limit wait in Redis, not lost."""
    few = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"concurrency": 3})})
    providers.slow = lambda _request: 0.1
    sent = [
        await replies.commit(response(Channel.TELEGRAM, CHAT, conversation=f"c{number}")) for number in range(40)
    ]
    async with Desk(few):
        records = await asyncio.gather(*(ended(redis, reply) for reply in sent))
    assert {record.state for record in records} == {DeliveryState.SENT}
    assert providers.most_under_way == 3
    assert len(providers.requests) == 40
