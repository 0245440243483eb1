"""Producers and operators enqueue, count, replay, and delete messages on a real server."""

import asyncio
from typing import Any

import msgspec

from msgctl.domain.messages import Message, State
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import EnqueueStatus, Queue
from msgctl.storage.redis import keys
from tests.support.messages import Enqueue, commit, failure


async def test_accepted_message_is_found(enqueue: Enqueue, queue: Queue) -> None:
    """An accepted message is stored completely and waits."""
    assert (await enqueue("m", text="olá")).status is EnqueueStatus.ACCEPTED
    job = await queue.find("m")
    assert job is not None
    assert (job.message.message, job.state, job.progress) == ("olá", State.WAITING, 0)


async def test_repeated_message_gets_the_same_answer_and_runs_once(enqueue: Enqueue, leases: LeaseClient) -> None:
    """Fifty equal messages at the same time are one message."""
    results = await asyncio.gather(*(enqueue("m", conversation="c") for _ in range(50)))
    assert sorted(result.status for result in results) == [EnqueueStatus.ACCEPTED] + [EnqueueStatus.REPEATED] * 49
    assert {(result.message_id, result.conversation_id) for result in results} == {("m", "c")}
    assert len(await leases.claim(50)) == 1


async def test_different_message_with_the_same_id_is_a_conflict(enqueue: Enqueue) -> None:
    """An id identifies one message."""
    await enqueue("m", conversation="c", text="one")
    assert (await enqueue("m", conversation="c", text="two")).status is EnqueueStatus.CONFLICT


async def test_identity_lasts_as_long_as_its_message(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue, redis: Any
) -> None:
    """A day after acceptance a message that is stored still gets the same answer and runs once."""
    await enqueue("m", conversation="c", text="one")
    await redis.delete(keys.IDENTITY + "m")  # as after 24 hours
    repeated = await enqueue("m", conversation="c", text="one")
    assert (repeated.status, repeated.conversation_id) == (EnqueueStatus.REPEATED, "c")
    assert (await enqueue("m", conversation="c", text="two")).status is EnqueueStatus.CONFLICT
    assert (await enqueue("m", conversation="d", user="bob")).status is EnqueueStatus.CONFLICT
    (leased,) = await leases.claim(5)
    await commit(leases, leased)
    assert (await enqueue("m", conversation="c", text="one")).status is EnqueueStatus.REPEATED
    assert (await queue.stats()).total == 1


async def test_idempotency_key_lasts_as_long_as_its_message(leases: LeaseClient, queue: Queue, redis: Any) -> None:
    """It does not expire before the message has ended. Then it lasts as long as the job hash and the identity."""
    message = Message(
        message_id="m", conversation_id="c", agent_id="a", user_id="u", message="hello", timestamp="2026-01-01"
    )
    await queue.enqueue(message, digest="d", idempotency_key="k")
    key = f"{keys.IDEMPOTENCY}1:u:k"
    assert await redis.pttl(key) == -1
    (leased,) = await leases.claim(5)
    await leases.fail(leased, GiveUp(), error=b"{}", record=b"{}", failure=failure(leased))
    ttls = await redis.pttl(keys.job_key("m")), await redis.pttl(keys.IDENTITY + "m")
    assert await redis.pttl(key) >= max(ttls) - 1000 > 0
    assert await queue.replay("m") == "replayed"
    assert await redis.pttl(key) == -1
    (leased,) = await leases.claim(5)
    await commit(leases, leased)
    assert await redis.pttl(key) >= await redis.pttl(keys.job_key("m")) - 1000 > 0
    repeated = msgspec.structs.replace(message, message_id="other", conversation_id="d")
    result = await queue.enqueue(repeated, digest="d", idempotency_key="k")
    assert (result.status, result.message_id, result.conversation_id) == (EnqueueStatus.REPEATED, "m", "c")


async def test_keys_of_different_users_never_collide(queue: Queue) -> None:
    """User `a:b` with key `c` is not user `a` with key `b:c`."""
    for number, (user, key) in enumerate((("a:b", "c"), ("a", "b:c"))):
        message = Message(
            message_id=f"m{number}",
            conversation_id=f"c{number}",
            agent_id="a",
            user_id=user,
            message="hello",
            timestamp="2026-01-01T00:00:00.000Z",
        )
        result = await queue.enqueue(message, digest=message.digest(), idempotency_key=key)
        assert result.status is EnqueueStatus.ACCEPTED


async def test_conversation_belongs_to_its_first_user(enqueue: Enqueue) -> None:
    """No user can write to another user's conversation."""
    await enqueue(conversation="c", user="ana")
    assert (await enqueue(conversation="c", user="bob")).status is EnqueueStatus.OTHER_USER


async def test_only_the_head_of_a_conversation_is_queued(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue
) -> None:
    """Message k+1 is queued when message k is answered, regardless of their priorities."""
    for number, priority in enumerate((10, 1, 5)):
        await enqueue(f"m{number}", conversation="c", priority=priority)
    order = []
    for _ in range(3):
        (leased,) = await leases.claim(10)
        order.append(leased.message.message_id)
        committed = await commit(leases, leased)
        assert committed is not None
        assert committed.seq == len(order)
    assert order == ["m0", "m1", "m2"]
    assert (await queue.stats()).completed == 3


async def test_six_counts_add_up(enqueue: Enqueue, leases: LeaseClient, queue: Queue, redis: Any) -> None:
    """Each message is counted once, in its state. A message in a suspended queue counts as paused."""
    for number in range(5):
        await enqueue(f"m{number}")
    await enqueue("behind", conversation="c1")
    first, second, third = await leases.claim(3)
    await commit(leases, first)
    await leases.fail(second, GiveUp(), error=b"{}", record=b"{}", failure=failure(second))
    stats = await queue.stats()
    assert (stats.waiting, stats.active, stats.completed, stats.failed) == (3, 1, 1, 1)
    assert stats.total == 6
    assert third.message.message_id == "m2"
    await redis.set(keys.RQ_SUSPENDED, 1)
    suspended = await queue.stats()
    assert (suspended.waiting, suspended.paused, suspended.total) == (0, 3, 6)
    assert await leases.claim(5) == []


async def test_replayed_dead_letter_has_all_its_attempts(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue
) -> None:
    """A replay resets the attempts, keeps the records, and puts the message before those that wait."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    await enqueue("last", conversation="c")
    (leased,) = await leases.claim(1)
    await leases.fail(leased, GiveUp(), error=b'{"code":"x"}', record=b'{"run":1}', failure=failure(leased))
    assert [name async for batch in queue.ended_ids("failed") for name in batch] == ["m"]
    assert await queue.replay("m") == "replayed"
    assert await queue.replay("m") == "not_failed"
    assert await queue.replay("nobody") == "missing"
    order = []
    for _ in range(3):
        (leased,) = await leases.claim(1)
        order.append((leased.message.message_id, leased.attempts))
        await commit(leases, leased)
    assert order == [("next", 0), ("m", 0), ("last", 0)]
    job = await queue.find("m")
    assert job is not None
    assert job.failed_runs == [{"run": 1}]


async def test_only_ended_messages_are_deleted(enqueue: Enqueue, leases: LeaseClient, queue: Queue) -> None:
    """A deletion removes ended messages of one status and leaves all others."""
    for name in ("done", "dead", "running", "waiting"):
        await enqueue(name)
    done, dead, _ = await leases.claim(3)
    await commit(leases, done)
    await leases.fail(dead, GiveUp(), error=b"{}", record=b"{}", failure=failure(dead))
    message_ids = ["done", "dead", "running", "waiting"]
    assert await queue.delete_ended("finished", 0, message_ids) == 0
    assert await queue.delete_ended("finished", 2**53, message_ids) == 1
    assert await queue.delete_ended("failed", 2**53, message_ids) == 1
    stats = await queue.stats()
    assert (stats.completed, stats.failed, stats.active, stats.waiting) == (0, 0, 1, 1)


async def test_oldest_wait_is_that_of_the_oldest_head(enqueue: Enqueue, queue: Queue, redis: Any) -> None:
    """It is in seconds, and an empty queue has none."""
    assert await queue.oldest_wait() is None
    await enqueue("m", priority=9)
    now_seconds, _ = await redis.time()
    await redis.hset(keys.job_key("m"), keys.FIELD_READY, str((now_seconds - 40) * 1000))
    age = await queue.oldest_wait()
    assert age is not None
    assert 39 <= age < 100
