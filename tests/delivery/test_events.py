"""Each step of a delivery is an event, written by the script that takes the step."""

from typing import Any

from msgctl.config.settings import Settings
from msgctl.delivery.status_update import update_status
from msgctl.domain.messages import Channel
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.channels import Channels
from msgctl.operations.context import Context
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import CHAT, TO, Desk, ended, held


async def story(redis: RedisClient, settings: Settings, message_id: str) -> list[Event]:
    """Return the ledger's events of a message."""
    return await Ledger(redis).read_related([message_id], None, "0-0")


async def test_held_delivery_records_its_steps(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While its channel is paused there is one event, another when it is due, and then those of its send."""
    channels = Channels(Context(settings, redis))
    await channels.pause(Channel.TELEGRAM)
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT))
        await held(redis, Channel.TELEGRAM, 1)
        assert [event.what for event in await story(redis, settings, reply.message_id)] == ["channel_closed"]
        await channels.resume(Channel.TELEGRAM)
        await ended(redis, reply)
    events = await story(redis, settings, reply.message_id)
    assert [event.what for event in events] == ["channel_closed", "due", "sending", "sent"]
    assert [event.evidence.get("channel") for event in events[:3]] == ["telegram"] * 3
    assert events[3].evidence["provider"]


async def test_waiting_for_the_previous_response_is_recorded_once(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """There is one event, however often it waits for the one that is retried."""
    providers.answers += [(503, {}), (429, {})]
    async with Desk(settings):
        first = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c"))
        second = await replies.commit(response(Channel.TELEGRAM, CHAT, conversation="c"))
        await ended(redis, second)
    whats = [event.what for event in await story(redis, settings, first.message_id)]
    assert whats == ["sending", "postponed", "due", "sending", "postponed", "due", "sending", "sent"]
    assert [event.what for event in await story(redis, settings, second.message_id)] == [
        "paced",
        "sending",
        "sent",
    ]


async def test_failure_reported_by_a_status_is_terminal(
    settings: Settings, redis: Any, replies: Replies, providers: Providers
) -> None:
    """The provider reports that a sent part did not arrive: that is the last event, with its code."""
    async with Desk(settings):
        reply = await replies.commit(response(Channel.WHATSAPP, TO))
        sent = await ended(redis, reply)
    await update_status(
        redis, reply.message_id, sent.provider_id or "", "failed", code="whatsapp_131026", text="why"
    )
    last = (await story(redis, settings, reply.message_id))[-1]
    assert (last.what, last.evidence["code"], last.is_terminal) == ("delivery_failed", "whatsapp_131026", True)
