"""What status webhooks make of a delivery: before our own answer, between parts, late, repeated, in any order."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from msgctl.channels.inbound import StatusUpdate
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryRecords, DeliveryState, SendPermit, find_record
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.status_update import update_status
from msgctl.domain.messages import Channel, Response
from msgctl.inbound.statuses import StatusProcessor
from msgctl.operations.channels import Channels
from msgctl.operations.context import Context
from msgctl.operations.deliveries import Deliveries
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended, held
from tools.support.daemons import until

TO = {"to": "+5511999990000"}
TWO_PARTS = "\n\n".join(letter * 4000 for letter in "ab")
RANK = {"sent": 1, "failed": 2, "delivered": 3, "read": 4}
CODES = {"p0": "whatsapp_131026", "p1": "whatsapp_131051"}

Event = tuple[str, str]
"""`("answer", part)`, or a status and its part."""


def orders(statuses: Sequence[Event]) -> Iterator[tuple[Event, ...]]:
    """Yield each order of both answers and these statuses that can happen: no status of a part before its send."""
    answers = [("answer", "p0"), ("answer", "p1")]
    for order in set(itertools.permutations([*answers, *statuses])):
        first = order.index(answers[0])
        if first < order.index(answers[1]) and all(
            part == "p0" or order.index((status, part)) > first for status, part in statuses
        ):
            yield order


def outcome(statuses: Sequence[Event]) -> tuple[str, str | None]:
    """Return the state and code that must follow from these statuses, whatever their order."""
    for part in ("p0", "p1"):
        reported = [status for status, of in statuses if of == part]
        if reported and max(reported, key=RANK.__getitem__) == "failed":
            return "FAILED", CODES[part]
    return "SENT", None


STATUSES = [
    [("failed", "p0")],
    [("failed", "p1")],
    [("failed", "p0"), ("delivered", "p1")],
    [("failed", "p0"), ("failed", "p1")],
    [("sent", "p0"), ("failed", "p0"), ("read", "p1")],
    [("failed", "p0"), ("delivered", "p0")],
    [("failed", "p0"), ("read", "p0"), ("failed", "p1")],
]


class Attempt(NamedTuple):
    """A delivery of two parts by hand."""

    records: DeliveryRecords
    stream: ResponseStream
    reply: Response

    async def run(self, redis: RedisClient, order: Sequence[Event]) -> None:
        """Begin, and let these answers and statuses come in their order."""
        entries = await self.stream.read()
        while not entries:
            entries = await self.stream.read()
        [entry] = entries
        permit = await self.records.begin_attempt(entry, self.reply, "t0", idempotent=False)
        for event, part in order:
            if event != "answer":
                code = CODES[part] if event == "failed" else ""
                assert await update_status(redis, self.reply.message_id, part, event, code=code, text="why")
                continue
            assert isinstance(permit, SendPermit)
            if part == "p0":
                assert await self.records.record_part_sent(entry, permit, part)
                permit = await self.records.begin_attempt(entry, self.reply, "t1", idempotent=False)
            else:
                await self.records.record_sent(entry, permit, part, self.reply.to_json())


@pytest.mark.parametrize(
    "statuses", STATUSES, ids=lambda one: " ".join(f"{status}:{part}" for status, part in one)
)
async def test_state_depends_on_the_statuses_and_not_on_their_order(
    settings: Settings, redis: RedisClient, replies: Replies, statuses: Sequence[Event]
) -> None:
    """Every order of answers and statuses, and a repetition of each status, lead to the same state and code."""
    stream = ResponseStream(redis, settings, "desk")
    await stream.ensure_group()
    records = DeliveryRecords(redis, settings)
    for number, order in enumerate(sorted(orders(statuses))):
        reply = await replies.commit(response(Channel.WHATSAPP, TO, conversation=f"c{number}"))
        await Attempt(records, stream, reply).run(redis, order)
        for status, part in statuses:
            assert await update_status(redis, reply.message_id, part, status, code=CODES[part], text="why")
        record = await find_record(redis, reply.message_id)
        assert record is not None
        assert (record.state, record.code) == outcome(statuses), order
        assert record.provider_id == "p0,p1"
    await stream.close()


async def test_record_of_an_earlier_version_takes_statuses(redis: RedisClient, settings: Settings) -> None:
    """A record without parts and limits is FAILED by a status, and corrected by a later one."""
    await redis.hset(
        keys.DELIVERY + "old",
        mapping={"state": "SENT", "channel": "whatsapp", "providerId": "a,b", "part": 2, "endedAt": 1},
    )
    processor = StatusProcessor(redis, settings)
    states = []
    for status, code in (("failed", "whatsapp_131056"), ("delivered", "")):
        await processor.process(StatusUpdate("old", "b", status, code))
        record = await find_record(redis, "old")
        assert record is not None
        states.append((record.state, record.code))
    assert states == [(DeliveryState.FAILED, "whatsapp_131056"), (DeliveryState.SENT, None)]


async def test_failed_before_the_answer_ends_the_delivery_as_failed(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """The status comes while Meta's answer is under way; it is not lost, and the operator sees its code."""
    providers.answers.append("hang")
    async with Desk(settings):
        reply = await replies.commit(response(Channel.WHATSAPP, TO))
        await until(lambda: providers.requests, "the request")
        await StatusProcessor(redis, settings).process(
            StatusUpdate(reply.message_id, "wamid.9", "failed", "whatsapp_131026")
        )
        providers.release((200, {"messages": [{"id": "wamid.9"}]}))
        record = await ended(redis, reply)
        listed = await Deliveries(Context(settings, redis)).newest(10)
    assert (record.state, record.code) == (DeliveryState.FAILED, "whatsapp_131026")
    assert [(one.state, one.code) for one in listed] == [("FAILED", "whatsapp_131026")]


async def test_early_status_resolves_the_unknown_outcome(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """`sent` comes before the connection breaks off: the part has arrived and is not sent again."""
    providers.answers.append("hang")
    resend = settings.whatsapp.model_copy(update={"unknown": "resend"})
    async with Desk(settings.model_copy(update={"whatsapp": resend})):
        reply = await replies.commit(response(Channel.WHATSAPP, TO, text=TWO_PARTS))
        await until(lambda: providers.requests, "the request")
        await update_status(redis, reply.message_id, "wamid.8", "sent")
        providers.release("cut")
        record = await ended(redis, reply)
    assert (record.state, record.provider_id) == (DeliveryState.SENT, "wamid.8,wamid.1")
    assert first_letters(providers) == ["a", "b"]


async def test_retry_sends_only_the_parts_that_did_not_arrive(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """After a late failure of the first of two parts, `delivery retry` sends that part alone."""
    deliveries = Deliveries(Context(settings, redis))
    async with Desk(settings):
        reply = await replies.commit(response(Channel.WHATSAPP, TO, text=TWO_PARTS))
        await ended(redis, reply)
        await update_status(redis, reply.message_id, "wamid.1", "failed", code="whatsapp_131026", text="why")
        await update_status(redis, reply.message_id, "wamid.2", "delivered")
        assert await deliveries.retry([reply.message_id]) == {reply.message_id: "retried"}

        async def resent() -> bool:
            return len(providers.requests) == 3

        await until(resent, "the second send")
        record = await ended(redis, reply)
    assert (record.state, record.provider_id, record.code) == (DeliveryState.SENT, "wamid.3,wamid.2", None)
    assert first_letters(providers) == ["a", "b", "a"]
    await update_status(redis, reply.message_id, "wamid.1", "failed", code="whatsapp_131026")
    assert (await ended(redis, reply)).state is DeliveryState.SENT, (
        "a repeated status of the replaced send changes nothing"
    )


@pytest.mark.parametrize("code", [131042, 131031, 368, 190, 10, 131037])
async def test_account_trouble_by_status_stops_the_channel(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, code: int
) -> None:
    """The reply is FAILED with the code, and the next one is held until an operator resumes the channel."""
    processor, channels = StatusProcessor(redis, settings), Channels(Context(settings, redis))
    async with Desk(settings):
        first = await replies.commit(response(Channel.WHATSAPP, TO))
        await ended(redis, first)
        failed = StatusUpdate(first.message_id, "wamid.1", "failed", f"whatsapp_{code}")
        await processor.process(failed)
        second = await replies.commit(response(Channel.WHATSAPP, TO))
        await held(redis, Channel.WHATSAPP, 1)
        assert await redis.hget(keys.CHANNEL_STATE + "whatsapp", "reason") == f"whatsapp_{code}"
        await channels.resume(Channel.WHATSAPP)
        assert (await ended(redis, second)).state is DeliveryState.SENT
        await processor.process(StatusUpdate(first.message_id, "wamid.other", "failed", f"whatsapp_{code}"))
        assert not await redis.hexists(keys.CHANNEL_STATE + "whatsapp", "pausedAt"), "it was sent before"
        record = await find_record(redis, first.message_id)
    assert record is not None
    assert (record.state, record.code) == (DeliveryState.FAILED, f"whatsapp_{code}")


async def test_trouble_of_the_receiver_by_status_leaves_the_channel_open(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """A listed and an unlisted code about one receiver make the replies FAILED, and nothing else."""
    async with Desk(settings):
        for code in (131026, 999_999):
            reply = await replies.commit(response(Channel.WHATSAPP, TO))
            sent = await ended(redis, reply)
            await StatusProcessor(redis, settings).process(
                StatusUpdate(reply.message_id, sent.provider_id or "", "failed", f"whatsapp_{code}")
            )
            record = await find_record(redis, reply.message_id)
            assert record is not None
            assert (record.state, record.code) == (DeliveryState.FAILED, f"whatsapp_{code}")
    assert not await redis.hexists(keys.CHANNEL_STATE + "whatsapp", "pausedAt")


@pytest.mark.parametrize(
    ("code", "bucket"), [(131056, "whatsapp:pair:"), (130429, "whatsapp:cloud:"), (131016, ""), (131057, "")]
)
async def test_passing_trouble_by_status_closes_its_rate_and_sends_again(
    *, settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, code: int, bucket: str
) -> None:
    """A rate that was exceeded closes its bucket, and the part that did not arrive is sent again by itself."""
    fast = settings.model_copy(update={"retry": settings.retry.model_copy(update={"base": 0.05})})
    processor = StatusProcessor(redis, fast)
    async with Desk(fast):
        reply = await replies.commit(response(Channel.WHATSAPP, TO))
        await ended(redis, reply)
        before = {key async for key in redis.scan_iter(f"{keys.BUCKET}{bucket}*")} if bucket else set()
        await processor.process(StatusUpdate(reply.message_id, "wamid.1", "failed", f"whatsapp_{code}"))
        if bucket:
            [key] = [key async for key in redis.scan_iter(f"{keys.BUCKET}{bucket}*")]
            assert before <= {key}
            assert float(await redis.get(key) or 0) > (await now_ms(redis)) + 500
        record = await ended(redis, reply)
        assert (record.state, record.provider_id) == (DeliveryState.SENT, "wamid.2")
        if not bucket:  # it is sent again once, and then it is over
            await processor.process(StatusUpdate(reply.message_id, "wamid.2", "failed", f"whatsapp_{code}"))
            record = await ended(redis, reply)
            assert (record.state, record.code) == (DeliveryState.FAILED, f"whatsapp_{code}")
    assert len(providers.requests) == 2


def first_letters(providers: Providers) -> list[str]:
    """Return the first letter of each text that Meta was sent."""
    return [request.json["text"]["body"][0] for request in providers.requests]


async def now_ms(redis: RedisClient) -> float:
    """Return the time of Redis in Unix milliseconds."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) / 1000
