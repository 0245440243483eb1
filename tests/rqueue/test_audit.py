"""The auditor: finds the head of a conversation that is not in play, and brings it back."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.retry import RetryLater
from msgctl.rqueue import audit
from msgctl.rqueue.audit import Audit
from msgctl.rqueue.claims import Claims
from msgctl.rqueue.queue import Queue
from tests.support.messages import Enqueue, commit, failure

Damage = Callable[[Any], Awaitable[object]]
JOB = contracts.job_key("head")
QUEUE = contracts.RQ_QUEUE + "messages:5"


@pytest.fixture
def auditor(redis: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """An auditor that does not wait between its two looks: nothing moves here."""
    monkeypatch.setattr(audit, "SECOND_LOOK", 0.0)
    return Audit(redis)


async def test_conversations_in_play_are_left_alone(
    enqueue: Enqueue, claims: Claims, auditor: Audit, queue: Queue
) -> None:
    """Queued, running and scheduled heads are no fault, and mending changes nothing."""
    for name in ("runs", "retries", "waits"):
        await enqueue(name, conversation=name)
        await enqueue(f"{name}-next", conversation=name)
    _, retries = await claims.claim(2)
    pause = RetryLater(delay=60, counts_as_attempt=True)
    await claims.fail(retries, pause, error=b"{}", record=b"{}", failure=failure(retries))
    before = await queue.stats()
    assert await auditor.run(mend=True) == []
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
        ("unworkable", lambda redis: redis.hdel(JOB, contracts.FIELD_MESSAGE)),
    ],
)
async def test_a_stuck_conversation_goes_on(
    *, enqueue: Enqueue, claims: Claims, auditor: Audit, redis: Any, fault: str, damage: Damage
) -> None:
    """Whatever happened to its head, a conversation is worked again after one audit, each message once."""
    await enqueue("head", conversation="c")
    await enqueue("next", conversation="c")
    await damage(redis)
    assert [(one.message_id, one.fault) for one in await auditor.run(mend=False)] == [("head", fault)]
    assert [(one.message_id, one.fault) for one in await auditor.run(mend=True)] == [("head", fault)]
    assert await auditor.run(mend=True) == []
    order = []
    while claimed := await claims.claim(5):
        order += [one.message.message_id for one in claimed]
        for one in claimed:
            assert await commit(claims, one)
    lost = fault in {"over", "gone", "unworkable"}
    assert order == (["next"] if lost else ["head", "next"])


async def test_a_head_that_was_overtaken_and_waits_is_no_fault(
    enqueue: Enqueue, claims: Claims, auditor: Audit, redis: Any
) -> None:
    """A message handed back stands before older ones; those are looked for in the queue, and found."""
    await enqueue("first")
    for number in range(2500):
        await redis.rpush(QUEUE, f"filler{number}")
    await enqueue("old")
    await redis.hset(contracts.job_key("old"), contracts.FIELD_READY, 1)
    held = await claims.claim(1)
    await claims.hand_back(held)
    assert await auditor.run(mend=True) == []
    assert await redis.lpos(QUEUE, "old", count=0) == [2501]


async def test_dead_workers_are_forgotten(claims: Claims, auditor: Audit, redis: Any) -> None:
    """A worker whose sign of life ran out leaves every register; a living one stays."""
    await claims.heartbeat([], "idle")
    registers = [contracts.RQ_WORKERS, f"{contracts.RQ_WORKERS}:messages:1"]
    for register in registers:
        await redis.sadd(register, contracts.RQ_WORKER + "dead")
    await redis.sadd(contracts.IDLE_WORKERS, "dead", "w1")
    await redis.sadd(contracts.RQ_WORKER + "dead" + contracts.RQ_WORKER_EXECUTIONS, "gone:1")
    assert await auditor.forget_workers() == 1
    assert await redis.smembers(contracts.RQ_WORKERS) == {contracts.RQ_WORKER + "w1"}
    assert await redis.smembers(contracts.IDLE_WORKERS) == {"w1"}
    assert not await redis.exists(registers[1], contracts.RQ_WORKER + "dead" + contracts.RQ_WORKER_EXECUTIONS)


async def test_one_audit_a_minute_among_all_workers(auditor: Audit) -> None:
    """Of several that ask, one is told that it is due."""
    assert await auditor.is_due()
    assert not await auditor.is_due()
