"""The audit finds the head of a conversation that is stuck and requeues it."""

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
    """Return an auditor that does not wait between its two checks, because nothing moves here."""
    monkeypatch.setattr(audit, "CONFIRMATION_DELAY_S", 0.0)
    return MailboxAuditor(redis)


async def test_sound_conversations_are_unchanged(
    enqueue: Enqueue, leases: LeaseClient, auditor: MailboxAuditor, queue: Queue
) -> None:
    """Queued, running, and scheduled heads are sound, and a repair does not change them."""
    for name in ("runs", "retries", "waits"):
        await enqueue(name, conversation=name)
        await enqueue(f"{name}-next", conversation=name)
    _, retries = await leases.claim(2)
    later = RetryLater(delay=60, counts_as_attempt=True)
    await leases.fail(retries, later, error=b"{}", record=b"{}", failure=failure(retries))
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
async def test_stuck_conversation_continues_after_an_audit(
    *, enqueue: Enqueue, leases: LeaseClient, auditor: MailboxAuditor, redis: Any, fault: str, damage: Damage
) -> None:
    """After any damage to its head, one audit makes the conversation continue, and each message runs once."""
    await enqueue("head", conversation="c")
    await enqueue("next", conversation="c")
    await damage(redis)
    assert [(stuck.message_id, stuck.fault) for stuck in await auditor.run(repair=False)] == [("head", fault)]
    assert [(stuck.message_id, stuck.fault) for stuck in await auditor.run(repair=True)] == [("head", fault)]
    assert await auditor.run(repair=True) == []
    order = []
    while batch := await leases.claim(5):
        order += [leased.message.message_id for leased in batch]
        for leased in batch:
            assert await commit(leases, leased)
    lost = fault in {"over", "gone", "unworkable"}
    assert order == (["next"] if lost else ["head", "next"])


async def test_overtaken_head_that_waits_is_sound(
    enqueue: Enqueue, leases: LeaseClient, auditor: MailboxAuditor, redis: Any
) -> None:
    """A requeued message stands before older ones, and the audit finds those in the queue."""
    await enqueue("first")
    for number in range(2500):
        await redis.rpush(QUEUE, f"filler{number}")
    await enqueue("old")
    await redis.hset(keys.job_key("old"), keys.FIELD_READY, 1)
    held = await leases.claim(1)
    await leases.requeue(held)
    assert await auditor.run(repair=True) == []
    assert await redis.lpos(QUEUE, "old", count=0) == [2501]


async def test_dead_workers_are_pruned(leases: LeaseClient, auditor: MailboxAuditor, redis: Any) -> None:
    """A worker whose heartbeat expired leaves every registry, and a live one stays."""
    await leases.heartbeat([], "idle")
    registries = [keys.RQ_WORKERS, f"{keys.RQ_WORKERS}:messages:1"]
    for registry in registries:
        await redis.sadd(registry, keys.RQ_WORKER + "dead")
    await redis.sadd(keys.IDLE_WORKERS, "dead", "w1")
    await redis.sadd(keys.RQ_WORKER + "dead" + keys.RQ_WORKER_EXECUTIONS, "gone:1")
    assert await auditor.prune_workers() == 1
    assert await redis.smembers(keys.RQ_WORKERS) == {keys.RQ_WORKER + "w1"}
    assert await redis.smembers(keys.IDLE_WORKERS) == {"w1"}
    assert not await redis.exists(registries[1], keys.RQ_WORKER + "dead" + keys.RQ_WORKER_EXECUTIONS)


async def test_one_worker_a_minute_runs_the_audit(auditor: MailboxAuditor) -> None:
    """Only the first caller gets True."""
    assert await auditor.acquire_run()
    assert not await auditor.acquire_run()
