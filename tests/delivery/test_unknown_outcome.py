"""F22: a send of unknown outcome and each policy for it: never more than one resend."""

from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.delivery.status_update import update_status
from msgctl.domain.messages import Channel
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Answer, Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended
from tools.support.daemons import until

CHAT = {"chatId": 42}
TO = {"to": "+5511999990000"}
BY_TWILIO = TO | {"provider": "twilio"}


def with_policy(settings: Settings, section: str, policy: str, *, hold: float = 0.3) -> Settings:
    """Return the settings with another policy for unknown outcomes and a short hold."""
    changed = getattr(settings, section).model_copy(update={"unknown": policy})
    delivery = settings.delivery.model_copy(update={"hold": hold})
    return settings.model_copy(update={section: changed, "delivery": delivery})


@pytest.mark.parametrize("policy", ["hold", "resend"])
async def test_unknown_delivery_is_resent_once(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, policy: str
) -> None:
    """After a broken connection it is UNKNOWN for a while; one more call makes it SENT, recorded as a resend."""
    providers.answers.append("cut")
    async with Desk(with_policy(settings, "telegram", policy)):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.resends, len(providers.requests)) == (DeliveryState.SENT, 1, 2)


async def test_unknown_delivery_is_never_sent_a_third_time(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """If the outcome of the resend is unknown too, it stays UNKNOWN, for an operator."""
    providers.answers.extend(["cut", "cut"])
    async with Desk(with_policy(settings, "telegram", "hold")):
        record = await ended(redis, await replies.commit(response(Channel.TELEGRAM, CHAT)))
    assert (record.state, record.resends, len(providers.requests)) == (DeliveryState.UNKNOWN, 1, 2)


async def test_next_reply_waits_for_the_unknown_outcome(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The next reply of the conversation is not sent before the outcome of this one is resolved."""
    providers.answers.append("cut")
    async with Desk(with_policy(settings, "telegram", "hold")):
        for text in ("1", "2"):
            last = await replies.commit(response(Channel.TELEGRAM, CHAT, text=text))
        assert (await ended(redis, last)).state is DeliveryState.SENT
    assert providers.texts() == ["1", "1", "2"]


@pytest.mark.parametrize(("answer", "posts"), [("lost", 1), ("cut", 2)])
async def test_unknown_delivery_is_reconciled_with_twilio(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, answer: Answer, posts: int
) -> None:
    """A part in Twilio's list is SENT without a second call; one that is missing is sent once more."""
    providers.answers.append(answer)
    async with Desk(with_policy(settings, "twilio", "reconcile")):
        record = await ended(redis, await replies.commit(response(Channel.WHATSAPP, BY_TWILIO)))
    assert (record.state, record.provider_id, len(providers.requests)) == (DeliveryState.SENT, "SM1", posts)


async def test_status_webhook_resolves_an_unknown_delivery(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Meta reports the UNKNOWN part as sent: the delivery continues with its other part and is SENT."""
    providers.answers.append("cut")
    text = "\n\n".join(letter * 4000 for letter in "ab")
    async with Desk(with_policy(settings, "whatsapp", "reconcile", hold=60)):
        reply = await replies.commit(response(Channel.WHATSAPP, TO, text=text))

        async def is_unknown() -> bool:
            record = await find_record(redis, reply.message_id)
            return record is not None and record.state is DeliveryState.UNKNOWN

        await until(is_unknown, "the unknown outcome")
        await update_status(redis, reply.message_id, "wamid.lost", "sent")
        record = await ended(redis, reply)
    assert (record.state, record.provider_id) == (DeliveryState.SENT, "wamid.lost,wamid.1")
    assert [request.json["text"]["body"][0] for request in providers.requests] == ["a", "b"]


async def test_delivery_without_a_status_stays_unknown(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Without a report it is not sent again."""
    providers.answers.append("cut")
    async with Desk(with_policy(settings, "whatsapp", "reconcile")):
        record = await ended(redis, await replies.commit(response(Channel.WHATSAPP, TO)))
    assert (record.state, record.code) == (DeliveryState.UNKNOWN, "delivery_unknown")
    assert len(providers.requests) == 1


@pytest.mark.parametrize(
    ("statuses", "state", "receipt"),
    [
        ([("read", ""), ("delivered", ""), ("sent", ""), ("read", "")], DeliveryState.SENT, "read"),
        ([("sent", ""), ("failed", "whatsapp_131026")], DeliveryState.FAILED, "failed"),
    ],
)
async def test_statuses_are_accepted_in_any_order(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    statuses: list[tuple[str, str]],
    state: DeliveryState,
    receipt: Any,
) -> None:
    """F24: late and repeated statuses never set a record back; a later failure makes it FAILED."""
    async with Desk(settings):
        reply = await replies.commit(response(Channel.WHATSAPP, TO))
        sent = await ended(redis, reply)
    for status, code in statuses:
        assert await update_status(redis, reply.message_id, sent.provider_id or "", status, code=code, text="why")
    record = await find_record(redis, reply.message_id)
    assert record is not None
    assert (record.state, record.receipt) == (state, receipt)
    assert not await update_status(redis, "nobody", "wamid.1", "read")
