"""`verify`: silent on a healthy pipeline, and names each promise that is broken, with the id."""

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
    await stream.read()  # what was pending: nothing
    web = [entry for entry in await stream.read() if entry.channel == "web"]
    await WebRouter(redis, settings).route(web)
    await stream.close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves here, so the looks may follow each other at once."""
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


async def test_a_healthy_pipeline_is_found_healthy(busy: Traffic, context: Context) -> None:
    """With a message in every place no violation is found, and each is counted where it is."""
    verdict = await context.get(InvariantVerification).run()
    assert verdict.violations == []
    assert verdict.holds
    assert verdict.messages == {"delivered": 1, "delivering": 1, "dead letter": 1, "running": 1, "waiting": 2}


def job(message_id: str) -> str:
    """The job hash of a message."""
    return keys.job_key(message_id)


async def commit_again(redis: Any) -> None:
    """A second response for a message, as a commit without a fence would write it."""
    body = {"messageId": "answered", "conversationId": "of-answered", "channel": "web", "seq": 2}
    await redis.xadd(keys.RESPONSES, {"kind": "response", "channel": "web", "body": msgspec.json.encode(body)})


async def acknowledge_unseen(redis: Any) -> None:
    """A response that was read, acknowledged and never delivered."""
    read = await redis.xreadgroup("delivery", "s1", {keys.RESPONSES: ">"})
    await redis.xack(keys.RESPONSES, "delivery", *(entry_id for entry_id, _ in read[0][1]))


async def send_twice(redis: Any) -> None:
    """A record of a delivery to a phone that shows one part with two ids of the provider."""
    record = {"state": "SENT", "channel": "telegram", "part": 1, "providerId": "1,2"}
    await redis.hset(keys.DELIVERY + "delivered", mapping=record)


async def skip_numbers(redis: Any) -> None:
    """A kept response under another number than its own."""
    (body,) = await redis.zrange(keys.REPLIES + "of-answered", 0, -1)
    await redis.zincrby(keys.REPLIES + "of-answered", 4, body)


async def abandon_delivery(redis: Any) -> None:
    """A delivery that was begun, and that nobody will go on with."""
    await acknowledge_unseen(redis)
    await redis.hset(keys.DELIVERY + "answered", mapping={"state": "SENDING", "channel": "web"})


async def carry(redis: Any, message_id: str, conversation: str, seq: int) -> str:
    """A response in the stream and among those kept, as COMMIT writes them; the kept form."""
    body = {"messageId": message_id, "conversationId": conversation, "channel": "telegram", "seq": seq}
    entry = {"kind": "response", "channel": "telegram", "body": msgspec.json.encode(body)}
    await redis.xadd(keys.RESPONSES, entry)
    kept = msgspec.json.encode(body).decode()
    await redis.zadd(keys.REPLIES + conversation, {kept: seq})
    await redis.expire(keys.REPLIES + conversation, 1000)
    return kept


async def number_backwards(redis: Any) -> None:
    """A response in the stream with a lower number than the one before it."""
    await carry(redis, "x1", "c-x", 2)
    await carry(redis, "x2", "c-x", 1)


async def keep_with_a_gap(redis: Any) -> None:
    """Kept responses of which one in the middle is missing."""
    await carry(redis, "x1", "c-x", 1)
    await carry(redis, "x3", "c-x", 3)


async def keep_twice(redis: Any) -> None:
    """Two kept responses to one message."""
    await carry(redis, "x1", "c-x", 1)
    await carry(redis, "x1", "c-x", 2)


async def send_out_of_order(redis: Any) -> None:
    """The second response of a conversation on a phone went out before the first."""
    for seq, sending_at in ((1, 2000), (2, 1000)):
        await carry(redis, f"x{seq}", "c-x", seq)
        record = {"state": "SENT", "channel": "telegram", "part": 1, "providerId": "1", "sendingAt": sending_at}
        await redis.hset(keys.DELIVERY + f"x{seq}", mapping=record)
        await redis.expire(keys.DELIVERY + f"x{seq}", 1000)


async def send_before_its_turn(redis: Any) -> None:
    """The second response of a conversation went out while the first had not."""
    await send_out_of_order(redis)
    await redis.hset(keys.DELIVERY + "x1", "state", "NEW")


async def run_unseen(redis: Any) -> None:
    """A run that RQ does not show."""
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
async def test_each_broken_promise_is_named(
    *, busy: Traffic, context: Context, redis: Any, invariant: str, subject: str, damage: Damage
) -> None:
    """Whatever is broken on purpose is found, under its invariant and its id."""
    await damage(redis)
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})
    verdict = await context.get(InvariantVerification).run()
    assert not verdict.holds
    assert (invariant, subject) in {(violation.code, violation.subject) for violation in verdict.violations}, (
        verdict.violations
    )


async def test_what_moves_is_no_violation(
    traffic: Traffic, context: Context, redis: Any, settings: Settings
) -> None:
    """While messages come, run and end, a verification that looks all the time complains of none."""
    stop = asyncio.Event()

    async def work() -> None:
        for number in range(300):
            await traffic.completed(f"m{number}")
            if number % 7 == 0:
                await deliver(redis, settings)
        stop.set()

    working = asyncio.create_task(work())
    verdicts = []
    while not stop.is_set():
        verdicts.append(await context.get(InvariantVerification).run())
    await working
    assert [verdict.violations for verdict in verdicts if not verdict.holds] == []
    final = await context.get(InvariantVerification).run()
    assert sum(final.messages.values()) == 300


async def test_a_message_removed_on_purpose_is_not_missed(traffic: Traffic, context: Context, redis: Any) -> None:
    """`queue clean` forgets messages; their identities, which last, are no violation."""
    await traffic.failed("dead")
    assert [count async for count in context.get(MessagePurger).remove(State.FAILED, 2**53)] == [1]
    assert await redis.exists(keys.IDENTITY + "dead")
    assert (await context.get(InvariantVerification).run()).violations == []
