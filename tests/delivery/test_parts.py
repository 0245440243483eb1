"""The parts of a delivery stay the same until it ends: after a failure, under other settings, after an upgrade."""

from typing import Any

import pytest

from msgctl.channels.telegram.sender import TelegramSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryRecords, DeliveryState, SendPermit
from msgctl.domain.messages import Channel
from msgctl.operations.context import Context
from msgctl.operations.deliveries import Deliveries
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import CHAT, TO, Desk, ended

BY_TWILIO = TO | {"provider": "twilio"}
LONG = "\n\n".join(f"**{letter * 4000}**" for letter in "abc")
REFUSED = (400, {"ok": False, "description": "Bad Request: chat not found"})


def with_reply(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with another `[reply]`."""
    return settings.model_copy(update={"reply": settings.reply.model_copy(update=changes)})


async def begun_by_version_0_1(redis: RedisClient, message_id: str, **fields: str | int) -> None:
    """Write a delivery record without parts, as version 0.1 left it."""
    record = {"state": "NEW", "channel": "telegram", "attempts": 0, "part": 0, "createdAt": 1, **fields}
    await redis.hset(keys.DELIVERY + message_id, mapping=record)


def letters(texts: list[str]) -> list[str]:
    """The letters of each text."""
    return ["".join(sorted(set(text))) for text in texts]


@pytest.mark.parametrize(
    "changes", [{"format": "as-is"}, {"max_parts": 1}, {"max_parts": 1, "overflow": "refuse"}, {"format": "plain"}]
)
async def test_a_later_attempt_sends_the_same_parts(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, changes: dict[str, Any]
) -> None:
    """A delivery that failed at its second part goes on with that part, whatever the settings say by then."""
    sent_id = {"ok": True, "result": {"message_id": 1}}
    providers.answers.extend([(200, sent_id), REFUSED])
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT, text=LONG))
        assert (await ended(redis, reply)).state is DeliveryState.FAILED
    assert (await Deliveries(Context(redis=redis, settings=settings)).retry([reply.message_id])) == {
        reply.message_id: "retried"
    }
    async with Desk(with_reply(settings, **changes)):
        record = await ended(redis, reply)
    assert (record.state, record.part) == (DeliveryState.SENT, 3)
    assert letters(providers.texts()) == ["a", "b", "b", "c"]
    assert all(request.json["entities"][0]["length"] == 4000 for request in providers.requests)
    assert not await redis.hexists(keys.DELIVERY + reply.message_id, "texts")


async def test_parts_are_made_again_while_none_was_sent(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """After a first part that was refused, a retry uses the settings of its own time."""
    providers.answers.append(REFUSED)
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT, text=LONG))
        assert (await ended(redis, reply)).state is DeliveryState.FAILED
    await Deliveries(Context(redis=redis, settings=settings)).retry([reply.message_id])
    async with Desk(with_reply(settings, max_parts=1, closing="(cut)")):
        assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert [text.endswith("(cut)") for text in providers.texts()] == [False, True]


async def test_a_text_is_cut_once_for_all_its_parts(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work does not grow with the number of parts."""
    calls: list[str] = []
    cut = TelegramSender.parts

    def counted(sender: TelegramSender, reply: Any) -> list[TextPart]:
        calls.append(reply.message_id)
        return cut(sender, reply)

    monkeypatch.setattr(TelegramSender, "parts", counted)
    async with Desk(settings):
        reply = await replies.commit(response(Channel.TELEGRAM, CHAT, text="palavra " * 5000))
        assert (await ended(redis, reply)).state is DeliveryState.SENT
    assert len(providers.requests) == 10
    assert calls == [reply.message_id]


async def test_a_delivery_half_sent_by_version_0_1_loses_and_repeats_nothing(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Its other parts are those of the old cut: today's cut of this text would be a single part."""
    reply = response(Channel.TELEGRAM, CHAT, text=f"**{'a' * 4000}**\n\n**{'b' * 90}**")
    await begun_by_version_0_1(redis, reply.message_id, part=1, providerId="7")
    async with Desk(settings):
        record = await ended(redis, await replies.commit(reply))
    assert (record.state, record.part, record.provider_id) == (DeliveryState.SENT, 2, "7,1")
    assert providers.texts() == [f"**{'b' * 90}**"]


@pytest.mark.parametrize(("part", "sent"), [(0, ["2", "3"]), (1, ["3"])])
async def test_an_unknown_part_of_version_0_1_is_looked_up_as_it_was_sent(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, part: int, sent: list[str]
) -> None:
    """Twilio has the part in the old cut, so it is not sent again, and the rest follows in the same cut."""
    twilio = settings.twilio.model_copy(update={"unknown": "reconcile"})
    delivery = settings.delivery.model_copy(update={"hold": 0.1})
    settings = settings.model_copy(update={"twilio": twilio, "delivery": delivery})
    old = [f"**{number * 1590}**" for number in "123"]
    reply = response(Channel.WHATSAPP, BY_TWILIO, text="\n\n".join(old))
    sender = f"whatsapp:{settings.twilio.sender}"
    providers.sent_by_twilio.append({"sid": "SM9", "body": old[part], "from": sender, "date_created": ""})
    await begun_by_version_0_1(
        redis, reply.message_id, channel="whatsapp", state="UNKNOWN", part=part, attempts=1, sendingAt=1
    )
    async with Desk(settings):
        record = await ended(redis, await replies.commit(reply))
    assert (record.state, record.part) == (DeliveryState.SENT, 3)
    assert letters([request.form["Body"] for request in providers.requests]) == ["*" + number for number in sent]


async def test_a_delivery_of_version_0_1_that_sent_nothing_is_cut_as_today(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """Before the first part nothing binds it."""
    reply = response(Channel.TELEGRAM, CHAT, text="**Oi**")
    await begun_by_version_0_1(redis, reply.message_id)
    async with Desk(settings):
        assert (await ended(redis, await replies.commit(reply))).state is DeliveryState.SENT
    assert providers.texts() == ["Oi"]


async def test_one_part_reported_as_sent_ends_the_delivery(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The only part had arrived; under settings that would make it two, nothing is sent again."""
    reply = response(Channel.WHATSAPP, TO, text=f"**{'a' * 4090}** **b**")
    await begun_by_version_0_1(redis, reply.message_id, channel="whatsapp", part=1, texts="", providerId="w")
    async with Desk(with_reply(settings, format="as-is")):
        assert (await ended(redis, await replies.commit(reply))).state is DeliveryState.SENT
    assert providers.requests == []


async def test_an_attempt_that_was_taken_over_records_no_parts(settings: Settings, redis: RedisClient) -> None:
    """The fence of the record holds for its parts too."""
    records = DeliveryRecords(redis, settings)
    await begun_by_version_0_1(redis, "m", state="SENDING", token="new")
    parts = [TextPart("a"), TextPart("b")]
    assert not await records.record_parts("m", SendPermit("old", 0, 1), parts)
    assert not await redis.hexists(keys.DELIVERY + "m", "texts")
    assert await records.record_parts("m", SendPermit("new", 0, 1), parts)
