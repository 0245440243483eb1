"""A worker claims messages under leases and commits, fails, requeues, or loses them."""

import asyncio
from typing import Any

import msgspec
import pytest

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.domain.retry import GiveUp, RetryLater
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.pipelining import AutoPipeline
from tests.support.messages import Enqueue, commit, failure


async def expire_leases(redis: Any) -> None:
    """Expire every lease, as if its worker had sent no heartbeat for long."""
    for member in await redis.zrange(keys.LEASES, 0, -1):
        await redis.zadd(keys.LEASES, {member: 1})
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})


async def test_higher_priorities_are_claimed_first(enqueue: Enqueue, leases: LeaseClient) -> None:
    """A lower number is processed sooner. Within a priority the order of arrival counts."""
    for name, priority in (("slow", 10), ("late", 2), ("soon", 1), ("later", 2)):
        await enqueue(name, priority=priority)
    assert [leased.message.message_id for leased in await leases.claim(3)] == ["soon", "late", "later"]


async def test_draining_worker_claims_nothing(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """The command takes effect immediately, before the worker reads it, and no message wakes the worker."""
    assert await leases.claim(1) == []
    assert await redis.sismember(keys.IDLE_WORKERS, "w1")
    await redis.set(keys.ORDER + "w1", "drain")
    await enqueue("m")
    assert await leases.claim(1) == []
    assert not await redis.sismember(keys.IDLE_WORKERS, "w1")
    await redis.delete(keys.ORDER + "w1")
    assert [leased.message.message_id for leased in await leases.claim(1)] == ["m"]


async def test_low_priority_is_not_starved(
    enqueue: Enqueue, leases: LeaseClient, redis: Any, settings: Settings
) -> None:
    """Under a flood of priority 1, a message of priority 10 that has waited for half the limit is claimed."""
    await enqueue("patient", priority=10)
    for _ in range(40):
        await enqueue(priority=1)
    waited = round(settings.worker.max_wait * 600)
    seconds, _ = await redis.time()
    await redis.hset(keys.job_key("patient"), keys.FIELD_READY, str(seconds * 1000 - waited))
    assert "patient" in [leased.message.message_id for leased in await leases.claim(4)]


async def test_requeued_message_hides_no_starving_message(
    enqueue: Enqueue, leases: LeaseClient, redis: Any, settings: Settings
) -> None:
    """A message that has waited long is claimed even if another one returns to the front of its queue."""
    await enqueue("returns", priority=10)
    (returns,) = await leases.claim(1)
    await enqueue("patient", priority=10)
    seconds, _ = await redis.time()
    ready = str(seconds * 1000 - round(settings.worker.max_wait * 600))
    await redis.hset(keys.job_key("patient"), keys.FIELD_READY, ready)
    assert await leases.requeue([returns]) == 1
    for _ in range(40):
        await enqueue(priority=1)
    assert {"returns", "patient"} <= {leased.message.message_id for leased in await leases.claim(6)}


async def test_commit_appends_the_response_once(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """A commit that is sent twice, as after a lost reply, returns the same and leaves one response."""
    await enqueue("m", conversation="c", text="a question")
    (leased,) = await leases.claim(1)
    first = await commit(leases, leased)
    assert first is not None
    assert await commit(leases, leased) == first
    entries = await redis.xrange(keys.RESPONSES)
    assert len(entries) == 1
    body = msgspec.json.decode(entries[0][1]["body"])
    assert (body["seq"], body["messageId"], body["response"]["message"]) == (1, "m", "an answer")
    history = await redis.lrange(keys.HISTORY + "c", 0, -1)
    assert [msgspec.json.decode(turn)["content"] for turn in history] == ["a question", "an answer"]


async def test_observers_receive_the_response_with_its_stream_id(
    enqueue: Enqueue, leases: LeaseClient, redis: Any
) -> None:
    """The response is published on its channel and on its conversation, in the API's shape."""
    async with redis.pubsub() as listener:
        await listener.subscribe(keys.RESPONSE_CHANNEL + "web", keys.CONVERSATION_CHANNEL + "c")
        await enqueue("m", conversation="c")
        (leased,) = await leases.claim(1)
        committed = await commit(leases, leased)
        assert committed is not None
        received: dict[str, Any] = {}
        while len(received) < 2:
            event = await listener.get_message(ignore_subscribe_messages=True, timeout=10)
            if event:
                received[event["channel"]] = msgspec.json.decode(event["data"])
    assert set(received) == {"pubsub:response:web", "pubsub:conversation:c"}
    for body in received.values():
        assert (body["seq"], body["streamId"]) == (1, committed.stream_id)
        assert body.keys() >= {"messageId", "agentId", "response", "channel", "channelMetadata", "processingTime"}


async def test_worker_without_the_lease_commits_nothing(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """A worker that comes back too late writes nothing. The worker that holds the lease commits."""
    await enqueue("m")
    (late,) = await leases.claim(1)
    await expire_leases(redis)
    assert (await leases.maintain()).reaped == 1
    (current,) = await leases.claim(1)
    assert await commit(leases, late) is None
    assert not await leases.fail(late, GiveUp(), error=b"{}", record=b"{}", failure=failure(late))
    assert await commit(leases, current) is not None
    assert await redis.xlen(keys.RESPONSES) == 1


async def test_lost_worker_counts_as_a_crash_and_not_as_an_attempt(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue, redis: Any, settings: Settings
) -> None:
    """After the allowed crashes a message is quarantined. After one more it is a dead letter and the next runs."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    for crash in range(settings.worker.max_crashes):
        (leased,) = await leases.claim(5)
        assert (leased.message.message_id, leased.run, leased.attempts) == ("m", crash + 1, 0)
        await expire_leases(redis)
        result = await leases.maintain()
    assert (result.quarantined, result.dead_lettered) == (1, 0)
    await queue.pause()
    assert (await leases.maintain()).quarantined == 0
    await queue.resume()
    assert (await queue.stats()).waiting == 2
    assert await leases.claim(5) == []
    assert len(await leases.claim(5, quarantine=True)) == 1
    await expire_leases(redis)
    assert (await leases.maintain()).dead_lettered == 1
    job = await queue.find("m")
    assert job is not None
    assert (job.state, job.crashes, job.attempts) == (State.FAILED, settings.worker.max_crashes + 1, 0)
    assert [record["run"] for record in job.failed_runs] == list(range(1, settings.worker.max_crashes + 2))
    for record in job.failed_runs:
        assert (record["class"], record["code"]) == ("crash", "worker_crashed")
        assert record["startedAt"] <= record["at"]
        assert record["ms"] >= 0
    (entry,) = await redis.xrange(keys.RESPONSES)
    assert entry[1]["kind"] == "failure"
    assert [leased.message.message_id for leased in await leases.claim(5)] == ["next"]


async def test_one_worker_at_a_time_has_the_quarantine_lock(
    leases: LeaseClient, redis: Any, settings: Settings
) -> None:
    """Only the worker that has the lock can extend it."""
    other = LeaseClient(redis, settings, "w2")
    assert await leases.acquire_quarantine_lock(60)
    assert not await other.acquire_quarantine_lock(60)
    assert await leases.acquire_quarantine_lock(0.001)
    await redis.delete(keys.QUARANTINE_KEEPER)
    assert await other.acquire_quarantine_lock(60)


async def test_failed_message_is_promoted_when_due(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue, redis: Any
) -> None:
    """It is delayed, keeps its place in the conversation, and the decision sets whether the attempt counts."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    (leased,) = await leases.claim(5)
    again = RetryLater(delay=60, counts_as_attempt=True)
    for _ in range(2):  # the second time as after a lost reply
        assert await leases.fail(leased, again, error=b'{"code":"x"}', record=b"{}", failure=failure(leased))
    job = await queue.find("m")
    assert job is not None
    assert (job.state, job.attempts, job.error) == (State.DELAYED, 1, {"code": "x"})
    assert await leases.claim(5) == []
    await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
    assert (await leases.maintain()).promoted == 1
    (leased,) = await leases.claim(5)
    assert (leased.message.message_id, leased.attempts) == ("m", 1)


async def test_snooze_does_not_count_as_an_attempt(
    enqueue: Enqueue, leases: LeaseClient, queue: Queue, redis: Any
) -> None:
    """Snoozes are counted separately from attempts, and only the record of the last one is kept."""
    await enqueue("m")
    for snoozes in range(3):
        (leased,) = await leases.claim(1)
        assert (leased.attempts, leased.snoozes) == (0, snoozes)
        snooze = RetryLater(delay=0, counts_as_attempt=False)
        await leases.fail(leased, snooze, error=b"{}", record=b'{"hold":%d}' % snoozes, failure=failure(leased))
        await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
        await leases.maintain()
    job = await queue.find("m")
    assert job is not None
    assert job.failed_runs == [{"hold": 2}]


async def test_requeue_does_not_count_as_an_attempt(enqueue: Enqueue, leases: LeaseClient, queue: Queue) -> None:
    """A message that a stopping worker requeues is claimed next, without an attempt or a crash."""
    await enqueue("first")
    await enqueue("second")
    held = await leases.claim(1)
    assert await leases.requeue(held) == 1
    assert await leases.requeue(held) == 0
    (leased, _) = await leases.claim(2)
    assert leased.message.message_id == "first"
    job = await queue.find("first")
    assert job is not None
    assert (job.attempts, job.crashes) == (0, 0)


async def test_claim_whose_reply_was_lost_is_requeued(enqueue: Enqueue, leases: LeaseClient) -> None:
    """Messages that Redis leases to a worker that does not know them are requeued."""
    await enqueue("known")
    await enqueue("unknown")
    (known,) = await leases.claim(1)
    await leases.claim(1)
    assert await leases.requeue_unknown([known.lease]) == 1
    assert [leased.message.message_id for leased in await leases.claim(5)] == ["unknown"]


@pytest.mark.parametrize("turns", range(6))
async def test_cancelled_claim_leaves_no_lease(
    enqueue: Enqueue, leases: LeaseClient, redis: Any, turns: int
) -> None:
    """If a stopping worker cancels a claim at any point, REQUEUE UNKNOWN requeues the claimed messages."""
    await enqueue("first")
    await commit(leases, (await leases.claim(1))[0])  # Redis knows the scripts from now on
    await enqueue("second")
    claiming = asyncio.create_task(leases.claim(1))
    for _ in range(turns):
        await asyncio.sleep(0)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    await leases.requeue_unknown([])
    assert await redis.zcard(keys.LEASES) == 0
    assert await redis.lrange(keys.RQ_QUEUE + "messages:5", 0, -1) == ["second"]


async def test_claim_that_is_sent_again_returns_the_same(
    enqueue: Enqueue, leases: LeaseClient, redis: Any, monkeypatch: Any
) -> None:
    """redis-py sends a claim again if its reply was lost. The second one returns the messages of the first."""
    for name in ("first", "second", "third"):
        await enqueue(name)
    execute, sent = AutoPipeline._execute, []

    async def send_twice(batch: AutoPipeline, calls: Any) -> Any:
        sent.append(await execute(batch, calls))
        return await execute(batch, calls)

    await leases.claim(1)  # Redis knows the script from now on
    monkeypatch.setattr(AutoPipeline, "_execute", send_twice)
    (leased,) = await leases.claim(1)
    assert leased.message.message_id == "second"
    assert len(sent) == 1
    (third,) = await leases.claim(1)
    assert third.message.message_id == "third"


async def test_heartbeat_returns_lost_leases_but_not_ended_ones(
    enqueue: Enqueue, leases: LeaseClient, redis: Any
) -> None:
    """A reaped lease is lost. A lease that ended with a commit is not."""
    for name in ("done", "kept", "lost"):
        await enqueue(name)
    done, kept, lost = await leases.claim(3)
    await commit(leases, done)
    await redis.zadd(keys.LEASES, {lost.lease: 1})
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})
    assert (await leases.maintain()).reaped == 1
    assert await leases.heartbeat([done.lease, kept.lease, lost.lease], "busy") == [lost.lease]


async def test_leases_get_a_grace_period_after_an_outage(
    enqueue: Enqueue, leases: LeaseClient, redis: Any
) -> None:
    """If maintenance did not run, no worker could renew its leases either, so reaping waits for heartbeats."""
    await enqueue("m")
    (leased,) = await leases.claim(1)
    await redis.zadd(keys.LEASES, {leased.lease: 1})
    assert (await leases.maintain()).reaped == 0
    assert await leases.heartbeat([leased.lease], "busy") == []
    assert await commit(leases, leased) is not None


async def test_broken_hash_is_parked(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """A broken hash is set aside and visible, and the worker continues with the other messages."""
    for name in ("no-hash", "odd-status", "good"):
        await enqueue(name)
    await redis.delete(keys.job_key("no-hash"))
    await redis.hset(keys.job_key("odd-status"), "status", "sideways")
    assert [leased.message.message_id for leased in await leases.claim(5)] == ["good"]
    assert await redis.hkeys(keys.PARKED) == ["no-hash", "odd-status"]


async def test_next_message_wakes_an_idle_worker(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """A claim with free slots registers the worker as idle, and one message wakes one live worker."""
    await leases.heartbeat([], "idle")
    await redis.sadd(keys.IDLE_WORKERS, "dead")
    await leases.claim(1)
    await enqueue()
    assert await redis.blpop([keys.WAKE + "w1"], timeout=10) is not None
    assert await redis.smembers(keys.IDLE_WORKERS) <= {"dead"}


async def test_ended_message_leaves_no_lasting_key(enqueue: Enqueue, leases: LeaseClient, redis: Any) -> None:
    """After a commit every key that belongs to the message alone expires."""
    await enqueue("m", conversation="c")
    (leased,) = await leases.claim(5)
    await commit(leases, leased)
    lasting = {key for key in await redis.keys() if await redis.ttl(key) == -1}
    assert not {key for key in lasting if key.endswith((":m", ":c", ":m:1"))}, lasting
