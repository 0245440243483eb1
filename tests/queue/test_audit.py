"""The auditor: finds the head of a conversation that is not in play, and brings it back."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.retry import RetryLater
from msgctl.queue import audit
from msgctl.queue.audit import MailboxAuditor
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from tests.support.messages import Enqueue, commit, failure

Damage = Callable[[Any], Awaitable[object]]
JOB = keys.job_key("head")
QUEUE = keys.RQ_QUEUE + "messages:5"


@pytest.fixture
def auditor(redis: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> MailboxAuditor:
    """An auditor that does not wait between its two looks: nothing moves here."""
    monkeypatch.setattr(audit, "CONFIRMATION_DELAY_S", 0.0)
    return MailboxAuditor(redis)


async def test_conversations_in_play_are_left_alone(
    enqueue: Enqueue, claims: LeaseClient, auditor: MailboxAuditor, queue: Queue
) -> None:
    """Queued, running and scheduled heads are no fault, and mending changes nothing."""
    for name in ("runs", "retries", "waits"):
        await enqueue(name, conversation=name)
        await enqueue(f"{name}-next", conversation=name)
    _, retries = await claims.claim(2)
    pause = RetryLater(delay=60, counts_as_attempt=True)
    await claims.fail(retries, pause, error=b"{}", record=b"{}", failure=failure(retries))
    before = await queue.stats()
    assert await auditor.run(repair=True) == []
    assert await queue.stats() == before


@pytest.mark.parametrize(
    ("fault", "damage"),
    [
        ("not_queued", lambda redis: redis.lpop(QUEUE)),
        ("held_back", lambda redis: redis.hset(JOB, "status", "deferred")),
        ("no_lease", lambda redis: redis.hset(JOB, "status", "started")),
        ("not_scheduled", lambda redis: redis.hset(JOB, "status", "scheduled")),
        ("over", lambda redis: redis.hset(JOB, "status", "finished")),
        ("gone", lambda redis: redis.delete(JOB)),
        ("unworkable", lambda redis: redis.hset(JOB, "status", "sideways")),
        ("unworkable", lambda redis: redis.hdel(JOB, keys.FIELD_MESSAGE)),
    ],
)
async def test_a_stuck_conversation_goes_on(
    *, enqueue: Enqueue, claims: LeaseClient, auditor: MailboxAuditor, redis: Any, fault: str, damage: Damage
) -> None:
    """Whatever happened to its head, a conversation is worked again after one audit, each message once."""
    await enqueue("head", conversation="c")
    await enqueue("next", conversation="c")
    await damage(redis)
    assert [(one.message_id, one.fault) for one in await auditor.run(repair=False)] == [("head", fault)]
    assert [(one.message_id, one.fault) for one in await auditor.run(repair=True)] == [("head", fault)]
    assert await auditor.run(repair=True) == []
    order = []
    while claimed := await claims.claim(5):
        order += [one.message.message_id for one in claimed]
        for one in claimed:
            assert await commit(claims, one)
    lost = fault in {"over", "gone", "unworkable"}
    assert order == (["next"] if lost else ["head", "next"])


async def test_a_head_that_was_overtaken_and_waits_is_no_fault(
    enqueue: Enqueue, claims: LeaseClient, auditor: MailboxAuditor, redis: Any
) -> None:
    """A message handed back stands before older ones; those are looked for in the queue, and found."""
    await enqueue("first")
    for number in range(2500):
        await redis.rpush(QUEUE, f"filler{number}")
    await enqueue("old")
    await redis.hset(keys.job_key("old"), keys.FIELD_READY, 1)
    held = await claims.claim(1)
    await claims.requeue(held)
    assert await auditor.run(repair=True) == []
    assert await redis.lpos(QUEUE, "old", count=0) == [2501]


async def test_dead_workers_are_forgotten(claims: LeaseClient, auditor: MailboxAuditor, redis: Any) -> None:
    """A worker whose sign of life ran out leaves every register; a living one stays."""
    await claims.heartbeat([], "idle")
    registers = [keys.RQ_WORKERS, f"{keys.RQ_WORKERS}:messages:1"]
    for register in registers:
        await redis.sadd(register, keys.RQ_WORKER + "dead")
    await redis.sadd(keys.IDLE_WORKERS, "dead", "w1")
    await redis.sadd(keys.RQ_WORKER + "dead" + keys.RQ_WORKER_EXECUTIONS, "gone:1")
    assert await auditor.prune_workers() == 1
    assert await redis.smembers(keys.RQ_WORKERS) == {keys.RQ_WORKER + "w1"}
    assert await redis.smembers(keys.IDLE_WORKERS) == {"w1"}
    assert not await redis.exists(registers[1], keys.RQ_WORKER + "dead" + keys.RQ_WORKER_EXECUTIONS)


async def test_one_audit_a_minute_among_all_workers(auditor: MailboxAuditor) -> None:
    """Of several that ask, one is told that it is due."""
    assert await auditor.acquire_run()
    assert not await auditor.acquire_run()
