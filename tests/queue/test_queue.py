"""Accepting, counting and replaying messages, on a real server."""

import asyncio
from typing import Any

import msgspec

from msgctl.domain.messages import Message, State
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import EnqueueStatus, Queue
from msgctl.storage.redis import keys
from tests.support.messages import Enqueue, commit, failure


async def test_an_accepted_message_can_be_found(enqueue: Enqueue, queue: Queue) -> None:
    """What was accepted is stored whole and waits."""
    assert (await enqueue("m", text="olá")).status is EnqueueStatus.ACCEPTED
    job = await queue.find("m")
    assert job is not None
    assert (job.message.message, job.state, job.progress) == ("olá", State.WAITING, 0)


async def test_a_repetition_is_answered_alike_and_runs_once(enqueue: Enqueue, claims: LeaseClient) -> None:
    """Fifty equal messages at the same instant are one message."""
    answers = await asyncio.gather(*(enqueue("m", conversation="c") for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [EnqueueStatus.ACCEPTED] + [EnqueueStatus.REPEATED] * 49
    assert {(answer.message_id, answer.conversation_id) for answer in answers} == {("m", "c")}
    assert len(await claims.claim(50)) == 1


async def test_another_body_under_the_same_id_is_a_conflict(enqueue: Enqueue) -> None:
    """An id stands for one body."""
    await enqueue("m", conversation="c", text="one")
    assert (await enqueue("m", conversation="c", text="two")).status is EnqueueStatus.CONFLICT


async def test_an_identity_outlives_its_day_with_its_message(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue, redis: Any
) -> None:
    """A day after acceptance, what is still in play, or kept, is answered as before and runs once."""
    await enqueue("m", conversation="c", text="one")
    await redis.delete(keys.IDENTITY + "m")  # as after 24 hours
    repeated = await enqueue("m", conversation="c", text="one")
    assert (repeated.status, repeated.conversation_id) == (EnqueueStatus.REPEATED, "c")
    assert (await enqueue("m", conversation="c", text="two")).status is EnqueueStatus.CONFLICT
    assert (await enqueue("m", conversation="d", user="bob")).status is EnqueueStatus.CONFLICT
    (claimed,) = await claims.claim(5)
    await commit(claims, claimed)
    assert (await enqueue("m", conversation="c", text="one")).status is EnqueueStatus.REPEATED
    assert (await queue.stats()).total == 1


async def test_a_clients_key_lasts_as_long_as_its_message(claims: LeaseClient, queue: Queue, redis: Any) -> None:
    """It does not expire while the message is in play; after its end it lasts as long as record and identity."""
    message = Message(
        message_id="m", conversation_id="c", agent_id="a", user_id="u", message="hello", timestamp="2026-01-01"
    )
    await queue.enqueue(message, digest="d", idempotency_key="k")
    key = f"{keys.IDEMPOTENCY}1:u:k"
    assert await redis.pttl(key) == -1
    (claimed,) = await claims.claim(5)
    await claims.fail(claimed, GiveUp(), error=b"{}", record=b"{}", failure=failure(claimed))
    kept = await redis.pttl(keys.job_key("m")), await redis.pttl(keys.IDENTITY + "m")
    assert await redis.pttl(key) >= max(kept) - 1000 > 0
    assert await queue.replay("m") == "replayed"
    assert await redis.pttl(key) == -1
    (claimed,) = await claims.claim(5)
    await commit(claims, claimed)
    assert await redis.pttl(key) >= await redis.pttl(keys.job_key("m")) - 1000 > 0
    again = msgspec.structs.replace(message, message_id="other", conversation_id="d")
    answer = await queue.enqueue(again, digest="d", idempotency_key="k")
    assert (answer.status, answer.message_id, answer.conversation_id) == (EnqueueStatus.REPEATED, "m", "c")


async def test_keys_of_different_users_never_meet(queue: Queue) -> None:
    """User `a:b` with key `c` is somebody else than user `a` with key `b:c`."""
    for number, (user, key) in enumerate((("a:b", "c"), ("a", "b:c"))):
        message = Message(
            message_id=f"m{number}",
            conversation_id=f"c{number}",
            agent_id="a",
            user_id=user,
            message="hello",
            timestamp="2026-01-01T00:00:00.000Z",
        )
        answer = await queue.enqueue(message, digest=message.digest(), idempotency_key=key)
        assert answer.status is EnqueueStatus.ACCEPTED


async def test_a_conversation_belongs_to_who_began_it(enqueue: Enqueue) -> None:
    """Nobody can speak in another user's conversation."""
    await enqueue(conversation="c", user="ana")
    assert (await enqueue(conversation="c", user="bob")).status is EnqueueStatus.OTHER_USER


async def test_only_the_head_of_a_conversation_is_in_play(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue
) -> None:
    """Message k+1 comes into play when k is answered, whatever their priorities."""
    for number, priority in enumerate((10, 1, 5)):
        await enqueue(f"m{number}", conversation="c", priority=priority)
    order = []
    for _ in range(3):
        (claimed,) = await claims.claim(10)
        order.append(claimed.message.message_id)
        committed = await commit(claims, claimed)
        assert committed is not None
        assert committed.seq == len(order)
    assert order == ["m0", "m1", "m2"]
    assert (await queue.stats()).completed == 3


async def test_the_six_counts_add_up(enqueue: Enqueue, claims: LeaseClient, queue: Queue, redis: Any) -> None:
    """Each message is counted once, in the state it is in; a suspended queue counts as paused."""
    for number in range(5):
        await enqueue(f"m{number}")
    await enqueue("behind", conversation="c1")
    first, second, third = await claims.claim(3)
    await commit(claims, first)
    await claims.fail(second, GiveUp(), error=b"{}", record=b"{}", failure=failure(second))
    stats = await queue.stats()
    assert (stats.waiting, stats.active, stats.completed, stats.failed) == (3, 1, 1, 1)
    assert stats.total == 6
    assert third.message.message_id == "m2"
    await redis.set(keys.RQ_SUSPENDED, 1)
    suspended = await queue.stats()
    assert (suspended.waiting, suspended.paused, suspended.total) == (0, 3, 6)
    assert await claims.claim(5) == []


async def test_a_replayed_dead_letter_has_a_fresh_budget(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue
) -> None:
    """Replay resets attempts, keeps the records, and goes before what waits in the conversation."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    await enqueue("last", conversation="c")
    (claimed,) = await claims.claim(1)
    await claims.fail(claimed, GiveUp(), error=b'{"code":"x"}', record=b'{"run":1}', failure=failure(claimed))
    assert await queue.failed_ids(10) == ["m"]
    assert await queue.replay("m") == "replayed"
    assert await queue.replay("m") == "not_failed"
    assert await queue.replay("nobody") == "missing"
    order = []
    for _ in range(3):
        (claimed,) = await claims.claim(1)
        order.append((claimed.message.message_id, claimed.attempts))
        await commit(claims, claimed)
    assert order == [("next", 0), ("m", 0), ("last", 0)]
    job = await queue.find("m")
    assert job is not None
    assert job.failed_runs == [{"run": 1}]


async def test_what_is_over_is_removed_and_nothing_else(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue
) -> None:
    """Removal forgets ended messages of one kind and leaves those in play."""
    for name in ("done", "dead", "running", "waiting"):
        await enqueue(name)
    done, dead, _ = await claims.claim(3)
    await commit(claims, done)
    await claims.fail(dead, GiveUp(), error=b"{}", record=b"{}", failure=failure(dead))
    everything = ["done", "dead", "running", "waiting"]
    assert await queue.delete_ended("finished", 0, everything) == 0
    assert await queue.delete_ended("finished", 2**53, everything) == 1
    assert await queue.delete_ended("failed", 2**53, everything) == 1
    stats = await queue.stats()
    assert (stats.completed, stats.failed, stats.active, stats.waiting) == (0, 0, 1, 1)


async def test_the_age_of_the_oldest_is_known(enqueue: Enqueue, queue: Queue, redis: Any) -> None:
    """The longest wait is that of the oldest head, in seconds; an empty queue has none."""
    assert await queue.oldest_wait() is None
    await enqueue("m", priority=9)
    now_seconds, _ = await redis.time()
    await redis.hset(keys.job_key("m"), keys.FIELD_READY, str((now_seconds - 40) * 1000))
    age = await queue.oldest_wait()
    assert age is not None
    assert 39 <= age < 100
