"""The verification finds nothing in a healthy pipeline, and names each broken invariant with the id."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.messages import State
from msgctl.operations.checks.invariants import verify
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.operations.messages.purge import MessagePurger
from msgctl.storage.redis import keys
from tests.support.messages import Traffic

Damage = Callable[[Any], Awaitable[object]]


async def deliver(redis: Any, settings: Settings) -> None:
    """Route every response that waits, as a subscriber does."""
    stream = ResponseStream(redis, settings, "s1")
    await stream.ensure_group()
    await stream.read()  # the first read returns pending entries, of which there are none
    web = [entry for entry in await stream.read() if entry.channel == "web"]
    await WebRouter(redis, settings).route(web)
    await stream.close()


@pytest.fixture(autouse=True)
def fast_confirmations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between looks, because nothing changes between them."""
    monkeypatch.setattr(verify, "CONFIRMATION_INTERVAL_S", 0.0)


@pytest.fixture
async def busy(traffic: Traffic, redis: Any, settings: Settings) -> Traffic:
    """A pipeline with a message in every place."""
    await traffic.staffed()
    await traffic.completed("delivered")
    await deliver(redis, settings)
    await traffic.completed("answered")
    await traffic.failed("dead")
    await traffic.active("runs")
    await traffic.waiting("waits")
    await traffic.waiting("behind", conversation="of-waits")
    return traffic


async def test_healthy_pipeline_has_no_violation(busy: Traffic, context: Context) -> None:
    """There is a message in every place, and each is counted in its place."""
    report = await context.get(InvariantVerification).run()
    assert report.violations == []
    assert report.holds
    assert report.messages == {"delivered": 1, "delivering": 1, "dead letter": 1, "running": 1, "waiting": 2}


def job(message_id: str) -> str:
    """Return the key of the job hash of a message."""
    return keys.job_key(message_id)


async def commit_again(redis: Any) -> None:
    """Write a second response of a message, as a commit without a fence would."""
    body = {"messageId": "answered", "conversationId": "of-answered", "channel": "web", "seq": 2}
    await redis.xadd(keys.RESPONSES, {"kind": "response", "channel": "web", "body": msgspec.json.encode(body)})


async def acknowledge_unseen(redis: Any) -> None:
    """Read and acknowledge a response without a delivery."""
    read = await redis.xreadgroup("delivery", "s1", {keys.RESPONSES: ">"})
    await redis.xack(keys.RESPONSES, "delivery", *(entry_id for entry_id, _ in read[0][1]))


async def send_twice(redis: Any) -> None:
    """Write a delivery record in which one part has two ids of the provider."""
    record = {"state": "SENT", "channel": "telegram", "part": 1, "providerId": "1,2"}
    await redis.hset(keys.DELIVERY + "delivered", mapping=record)


async def skip_numbers(redis: Any) -> None:
    """Give a kept response a score that is not its number."""
    (body,) = await redis.zrange(keys.REPLIES + "of-answered", 0, -1)
    await redis.zincrby(keys.REPLIES + "of-answered", 4, body)


async def abandon_delivery(redis: Any) -> None:
    """Start a delivery that nothing will continue."""
    await acknowledge_unseen(redis)
    await redis.hset(keys.DELIVERY + "answered", mapping={"state": "SENDING", "channel": "web"})


async def publish(redis: Any, message_id: str, conversation: str, seq: int) -> str:
    """Write a response into the stream and to the kept ones, as a commit does, and return the kept form."""
    body = {"messageId": message_id, "conversationId": conversation, "channel": "telegram", "seq": seq}
    entry = {"kind": "response", "channel": "telegram", "body": msgspec.json.encode(body)}
    await redis.xadd(keys.RESPONSES, entry)
    kept = msgspec.json.encode(body).decode()
    await redis.zadd(keys.REPLIES + conversation, {kept: seq})
    await redis.expire(keys.REPLIES + conversation, 1000)
    return kept


async def number_backwards(redis: Any) -> None:
    """Write a response whose number is lower than the previous one."""
    await publish(redis, "x1", "c-x", 2)
    await publish(redis, "x2", "c-x", 1)


async def keep_with_a_gap(redis: Any) -> None:
    """Write kept responses without the one in the middle."""
    await publish(redis, "x1", "c-x", 1)
    await publish(redis, "x3", "c-x", 3)


async def keep_twice(redis: Any) -> None:
    """Write two kept responses to one message."""
    await publish(redis, "x1", "c-x", 1)
    await publish(redis, "x1", "c-x", 2)


async def send_out_of_order(redis: Any) -> None:
    """Record that the second response of a conversation was sent to a phone before the first."""
    for seq, sending_at in ((1, 2000), (2, 1000)):
        await publish(redis, f"x{seq}", "c-x", seq)
        record = {"state": "SENT", "channel": "telegram", "part": 1, "providerId": "1", "sendingAt": sending_at}
        await redis.hset(keys.DELIVERY + f"x{seq}", mapping=record)
        await redis.expire(keys.DELIVERY + f"x{seq}", 1000)


async def send_before_its_turn(redis: Any) -> None:
    """Record that the second response of a conversation was sent, and the first was not."""
    await send_out_of_order(redis)
    await redis.hset(keys.DELIVERY + "x1", "state", "NEW")


async def run_unseen(redis: Any) -> None:
    """Hide a run from RQ."""
    await redis.zrem(keys.RQ_WIP + "messages:5", "runs:1")


QUEUED = keys.RQ_QUEUE + "messages:5"
DAMAGES: list[tuple[str, str, Damage]] = [
    ("I1", "waits", lambda redis: redis.delete(job("waits"))),
    ("I1", "answered", acknowledge_unseen),
    ("I1", "behind", lambda redis: redis.lrem(keys.MAILBOX + "of-waits", 0, "behind")),
    ("I1", "waits", lambda redis: redis.expire(job("waits"), 1000)),
    ("I1", "dead", lambda redis: redis.zrem(keys.RQ_FAILED + "messages:5", "dead")),
    ("I1", "answered", lambda redis: redis.hdel(job("answered"), keys.FIELD_COMMITTED)),
    ("I1", "answered", abandon_delivery),
    ("I1", "answered", lambda redis: redis.zadd(keys.RQ_FAILED + "messages:5", {"answered": 2**40})),
    ("I1", "dead", lambda redis: redis.hset(job("dead"), keys.FIELD_COMMITTED, "1 1 1-1")),
    ("I1", "waits", lambda redis: redis.hset(job("waits"), "status", "sideways")),
    ("I2", "answered", commit_again),
    ("I2", "x1", keep_twice),
    ("I2", "waits", lambda redis: redis.hset(job("waits"), keys.FIELD_COMMITTED, "1 1 1-1")),
    ("I3", "of-answered", skip_numbers),
    ("I3", "c-x", number_backwards),
    ("I3", "c-x", keep_with_a_gap),
    ("I3", "c-x", send_out_of_order),
    ("I3", "c-x", send_before_its_turn),
    ("I4", "runs", lambda redis: redis.lpush(QUEUED, "runs")),
    ("I4", "behind", lambda redis: redis.rpush(QUEUED, "behind")),
    ("I4", "waits", lambda redis: redis.rpush(QUEUED, "waits")),
    ("I4", "waits", lambda redis: redis.rpush(keys.RQ_QUEUE + "messages:4", "waits")),
    ("I4", "waits", lambda redis: redis.rpush(keys.RQ_QUEUE + keys.QUARANTINE, "waits")),
    ("I4", "waits", lambda redis: redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"waits": 2**40})),
    ("I4", "behind", lambda redis: redis.zrem(keys.RQ_DEFERRED + "messages:5", "behind")),
    ("I4", "delivered", lambda redis: redis.lpush(keys.MAILBOX + "of-delivered", "delivered")),
    ("I4", "waits:1", lambda redis: redis.zadd(keys.LEASES, {"waits:1": 2**53})),
    ("I4", "runs:1", run_unseen),
    ("I4", "waits", lambda redis: redis.lpop(keys.RQ_QUEUE + "messages:5")),
    ("I4", "behind", lambda redis: redis.hset(job("behind"), "status", "queued")),
    ("I4", "runs", lambda redis: redis.zrem(keys.LEASES, "runs:1")),
    ("I4", "runs:1", lambda redis: redis.zadd(keys.LEASES, {"runs:1": 1})),
    ("I4", "runs", lambda redis: redis.hset(job("runs"), "status", "scheduled")),
    ("I5", "waits", lambda redis: redis.hset(job("waits"), keys.FIELD_ATTEMPTS, 4)),
    ("I5", "runs", lambda redis: redis.hset(job("runs"), keys.FIELD_CRASHES, 5)),
    ("I6", "msgctl:forgotten", lambda redis: redis.set("msgctl:forgotten", 1)),
    ("I6", keys.HISTORY + "of-answered", lambda redis: redis.persist(keys.HISTORY + "of-answered")),
    ("I6", "dead", lambda redis: redis.persist(job("dead"))),
    ("I6", keys.IDEMPOTENCY + "1:u:k", lambda redis: redis.set(keys.IDEMPOTENCY + "1:u:k", "nobody")),
    ("I6", keys.RQ_EXECUTION + "x:1", lambda redis: redis.hset(keys.RQ_EXECUTION + "x:1", "id", 1)),
    ("I7", "delivered", send_twice),
]


@pytest.mark.parametrize(("invariant", "subject", "damage"), DAMAGES)
async def test_broken_invariant_is_named_with_its_subject(
    *, busy: Traffic, context: Context, redis: Any, invariant: str, subject: str, damage: Damage
) -> None:
    """Each damage is found."""
    await damage(redis)
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})
    report = await context.get(InvariantVerification).run()
    assert not report.holds
    assert (invariant, subject) in {(violation.code, violation.subject) for violation in report.violations}, (
        report.violations
    )


async def test_verification_of_a_busy_pipeline_finds_nothing(
    traffic: Traffic, context: Context, redis: Any, settings: Settings
) -> None:
    """Messages are accepted, processed, and answered while it runs again and again."""
    stop = asyncio.Event()

    async def work() -> None:
        for number in range(300):
            await traffic.completed(f"m{number}")
            if number % 7 == 0:
                await deliver(redis, settings)
        stop.set()

    working = asyncio.create_task(work())
    reports = []
    while not stop.is_set():
        reports.append(await context.get(InvariantVerification).run())
    await working
    assert [report.violations for report in reports if not report.holds] == []
    final = await context.get(InvariantVerification).run()
    assert sum(final.messages.values()) == 300


async def test_purged_message_is_no_violation(traffic: Traffic, context: Context, redis: Any) -> None:
    """Its identity stays, and the verification knows that it was removed."""
    await traffic.failed("dead")
    assert [count async for count in context.get(MessagePurger).remove(State.FAILED, 2**53)] == [1]
    assert await redis.exists(keys.IDENTITY + "dead")
    assert (await context.get(InvariantVerification).run()).violations == []
