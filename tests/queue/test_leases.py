"""Claiming under a lease, and every way to let go of it."""

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
    """Let every lease have ended, as if its worker had been silent for long."""
    for member in await redis.zrange(keys.LEASES, 0, -1):
        await redis.zadd(keys.LEASES, {member: 1})
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})


async def test_sooner_priorities_are_claimed_first(enqueue: Enqueue, claims: LeaseClient) -> None:
    """A lower number is worked sooner; within a priority, first come first served."""
    for name, priority in (("slow", 10), ("late", 2), ("soon", 1), ("later", 2)):
        await enqueue(name, priority=priority)
    assert [one.message.message_id for one in await claims.claim(3)] == ["soon", "late", "later"]


async def test_a_worker_that_is_told_to_drain_claims_nothing_from_then_on(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """Not only once it has looked for orders: whoever told it may rely on it at once, and nobody wakes it."""
    assert await claims.claim(1) == []
    assert await redis.sismember(keys.IDLE_WORKERS, "w1")
    await redis.set(keys.ORDER + "w1", "drain")
    await enqueue("m")
    assert await claims.claim(1) == []
    assert not await redis.sismember(keys.IDLE_WORKERS, "w1")
    await redis.delete(keys.ORDER + "w1")
    assert [one.message.message_id for one in await claims.claim(1)] == ["m"]


async def test_a_low_priority_is_not_starved(
    enqueue: Enqueue, claims: LeaseClient, redis: Any, settings: Settings
) -> None:
    """Under a flood of priority 1, a priority 10 that has waited for half the bound gets its share."""
    await enqueue("patient", priority=10)
    for _ in range(40):
        await enqueue(priority=1)
    waited = round(settings.worker.max_wait * 600)
    seconds, _ = await redis.time()
    await redis.hset(keys.job_key("patient"), keys.FIELD_READY, str(seconds * 1000 - waited))
    assert "patient" in [one.message.message_id for one in await claims.claim(4)]


async def test_who_comes_back_hides_no_starving_message(
    enqueue: Enqueue, claims: LeaseClient, redis: Any, settings: Settings
) -> None:
    """However often others come back to the front of its queue, a message that has waited long gets its share."""
    await enqueue("returns", priority=10)
    (returns,) = await claims.claim(1)
    await enqueue("patient", priority=10)
    seconds, _ = await redis.time()
    ready = str(seconds * 1000 - round(settings.worker.max_wait * 600))
    await redis.hset(keys.job_key("patient"), keys.FIELD_READY, ready)
    assert await claims.requeue([returns]) == 1
    for _ in range(40):
        await enqueue(priority=1)
    assert {"returns", "patient"} <= {one.message.message_id for one in await claims.claim(6)}


async def test_a_commit_hands_the_response_over_once(enqueue: Enqueue, claims: LeaseClient, redis: Any) -> None:
    """Sent twice, as after a lost reply, a commit says the same and leaves one response."""
    await enqueue("m", conversation="c", text="a question")
    (claimed,) = await claims.claim(1)
    first = await commit(claims, claimed)
    assert first is not None
    assert await commit(claims, claimed) == first
    entries = await redis.xrange(keys.RESPONSES)
    assert len(entries) == 1
    body = msgspec.json.decode(entries[0][1]["body"])
    assert (body["seq"], body["messageId"], body["response"]["message"]) == (1, "m", "an answer")
    history = await redis.lrange(keys.HISTORY + "c", 0, -1)
    assert [msgspec.json.decode(turn)["content"] for turn in history] == ["a question", "an answer"]


async def test_observers_hear_the_response_with_its_stream_id(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """The response is published on its channel and on its conversation, in the API's shape."""
    async with redis.pubsub() as listener:
        await listener.subscribe(keys.RESPONSE_CHANNEL + "web", keys.CONVERSATION_CHANNEL + "c")
        await enqueue("m", conversation="c")
        (claimed,) = await claims.claim(1)
        committed = await commit(claims, claimed)
        assert committed is not None
        heard: dict[str, Any] = {}
        while len(heard) < 2:
            event = await listener.get_message(ignore_subscribe_messages=True, timeout=10)
            if event:
                heard[event["channel"]] = msgspec.json.decode(event["data"])
    assert set(heard) == {"pubsub:response:web", "pubsub:conversation:c"}
    for body in heard.values():
        assert (body["seq"], body["streamId"]) == (1, committed.stream_id)
        assert body.keys() >= {"messageId", "agentId", "response", "channel", "channelMetadata", "processingTime"}


async def test_who_lost_the_lease_commits_nothing(enqueue: Enqueue, claims: LeaseClient, redis: Any) -> None:
    """A worker that comes back too late leaves no trace; the one that has the message now does."""
    await enqueue("m")
    (late,) = await claims.claim(1)
    await expire_leases(redis)
    assert (await claims.maintain()).reaped == 1
    (current,) = await claims.claim(1)
    assert await commit(claims, late) is None
    assert not await claims.fail(late, GiveUp(), error=b"{}", record=b"{}", failure=failure(late))
    assert await commit(claims, current) is not None
    assert await redis.xlen(keys.RESPONSES) == 1


async def test_a_lost_worker_counts_as_a_crash_and_not_as_an_attempt(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue, redis: Any, settings: Settings
) -> None:
    """After the allowed crashes a message runs alone; one more, and it is a dead letter and the next one runs."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    for crash in range(settings.worker.max_crashes):
        (claimed,) = await claims.claim(5)
        assert (claimed.message.message_id, claimed.run, claimed.attempts) == ("m", crash + 1, 0)
        await expire_leases(redis)
        tended = await claims.maintain()
    assert (tended.quarantined, tended.dead_lettered) == (1, 0)
    await queue.pause()
    assert (await claims.maintain()).quarantined == 0
    await queue.resume()
    assert (await queue.stats()).waiting == 2
    assert await claims.claim(5) == []
    assert len(await claims.claim(5, quarantine=True)) == 1
    await expire_leases(redis)
    assert (await claims.maintain()).dead_lettered == 1
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
    assert [one.message.message_id for one in await claims.claim(5)] == ["next"]


async def test_one_worker_keeps_the_quarantine(claims: LeaseClient, redis: Any, settings: Settings) -> None:
    """Of all workers one at a time may work it, and it may go on doing so."""
    other = LeaseClient(redis, settings, "w2")
    assert await claims.acquire_quarantine_lock(60)
    assert not await other.acquire_quarantine_lock(60)
    assert await claims.acquire_quarantine_lock(0.001)
    await redis.delete(keys.QUARANTINE_KEEPER)
    assert await other.acquire_quarantine_lock(60)


async def test_a_failed_attempt_comes_back_when_due(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue, redis: Any
) -> None:
    """It waits as delayed, keeps its place in the conversation, and is charged what was decided."""
    await enqueue("m", conversation="c")
    await enqueue("next", conversation="c")
    (claimed,) = await claims.claim(5)
    again = RetryLater(delay=60, counts_as_attempt=True)
    for _ in range(2):  # the second as after a lost reply
        assert await claims.fail(claimed, again, error=b'{"code":"x"}', record=b"{}", failure=failure(claimed))
    job = await queue.find("m")
    assert job is not None
    assert (job.state, job.attempts, job.error) == (State.DELAYED, 1, {"code": "x"})
    assert await claims.claim(5) == []
    await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
    assert (await claims.maintain()).promoted == 1
    (claimed,) = await claims.claim(5)
    assert (claimed.message.message_id, claimed.attempts) == ("m", 1)


async def test_holding_for_a_dependency_charges_nothing(
    enqueue: Enqueue, claims: LeaseClient, queue: Queue, redis: Any
) -> None:
    """Holds are counted apart from attempts, and however many there are, only the last one is kept in words."""
    await enqueue("m")
    for snoozes in range(3):
        (claimed,) = await claims.claim(1)
        assert (claimed.attempts, claimed.snoozes) == (0, snoozes)
        hold = RetryLater(delay=0, counts_as_attempt=False)
        await claims.fail(claimed, hold, error=b"{}", record=b'{"hold":%d}' % snoozes, failure=failure(claimed))
        await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
        await claims.maintain()
    job = await queue.find("m")
    assert job is not None
    assert job.failed_runs == [{"hold": 2}]


async def test_handing_back_charges_nothing(enqueue: Enqueue, claims: LeaseClient, queue: Queue) -> None:
    """What a stopping worker gives back is the next to be claimed, without attempt or crash."""
    await enqueue("first")
    await enqueue("second")
    held = await claims.claim(1)
    assert await claims.requeue(held) == 1
    assert await claims.requeue(held) == 0
    (claimed, _) = await claims.claim(2)
    assert claimed.message.message_id == "first"
    job = await queue.find("first")
    assert job is not None
    assert (job.attempts, job.crashes) == (0, 0)


async def test_a_claim_whose_reply_was_lost_is_disowned(enqueue: Enqueue, claims: LeaseClient) -> None:
    """Messages that Redis thinks we run, and we do not know of, go back at once."""
    await enqueue("known")
    await enqueue("unknown")
    (known,) = await claims.claim(1)
    await claims.claim(1)
    assert await claims.requeue_unknown([known.lease]) == 1
    assert [one.message.message_id for one in await claims.claim(5)] == ["unknown"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_claim_that_is_given_up_leaves_nothing_behind(
    enqueue: Enqueue, claims: LeaseClient, redis: Any, turns: int
) -> None:
    """Whenever a stopping worker breaks a claim off, what it took is handed back by the DISOWN that follows."""
    await enqueue("first")
    await commit(claims, (await claims.claim(1))[0])  # Redis knows the scripts from now on
    await enqueue("second")
    claiming = asyncio.create_task(claims.claim(1))
    for _ in range(turns):
        await asyncio.sleep(0)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    await claims.requeue_unknown([])
    assert await redis.zcard(keys.LEASES) == 0
    assert await redis.lrange(keys.RQ_QUEUE + "messages:5", 0, -1) == ["second"]


async def test_a_claim_that_is_sent_again_gives_the_same(
    enqueue: Enqueue, claims: LeaseClient, redis: Any, monkeypatch: Any
) -> None:
    """redis-py sends a claim again when its reply got lost: what the first one took is not forgotten."""
    for name in ("first", "second", "third"):
        await enqueue(name)
    execute, sent = AutoPipeline._execute, []

    async def send_twice(batch: AutoPipeline, calls: Any) -> Any:
        sent.append(await execute(batch, calls))
        return await execute(batch, calls)

    await claims.claim(1)  # Redis knows the script from now on
    monkeypatch.setattr(AutoPipeline, "_execute", send_twice)
    (claimed,) = await claims.claim(1)
    assert claimed.message.message_id == "second"
    assert len(sent) == 1
    (another,) = await claims.claim(1)
    assert another.message.message_id == "third"


async def test_heartbeats_name_lost_leases_but_not_ended_ones(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """A lease that ended with a commit is no loss; one that was reaped is."""
    for name in ("done", "kept", "lost"):
        await enqueue(name)
    done, kept, lost = await claims.claim(3)
    await commit(claims, done)
    await redis.zadd(keys.LEASES, {lost.lease: 1})
    await redis.hset(keys.TENDED, mapping={"at": 2**53, "grace": 0})
    assert (await claims.maintain()).reaped == 1
    assert await claims.heartbeat([done.lease, kept.lease, lost.lease], "busy") == [lost.lease]


async def test_after_an_outage_leases_get_a_moment_of_grace(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """If nobody could tend for a while, nobody could renew either: reaping waits for the heartbeats."""
    await enqueue("m")
    (claimed,) = await claims.claim(1)
    await redis.zadd(keys.LEASES, {claimed.lease: 1})
    assert (await claims.maintain()).reaped == 0
    assert await claims.heartbeat([claimed.lease], "busy") == []
    assert await commit(claims, claimed) is not None


async def test_a_hash_that_cannot_be_worked_is_parked(enqueue: Enqueue, claims: LeaseClient, redis: Any) -> None:
    """A broken hash is set aside and counted; the worker goes on with the rest."""
    for name in ("no-hash", "odd-status", "good"):
        await enqueue(name)
    await redis.delete(keys.job_key("no-hash"))
    await redis.hset(keys.job_key("odd-status"), "status", "sideways")
    assert [one.message.message_id for one in await claims.claim(5)] == ["good"]
    assert await redis.hkeys(keys.PARKED) == ["no-hash", "odd-status"]


async def test_an_idle_worker_is_woken_by_the_next_message(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """A claim that leaves slots free enlists the worker; one message wakes one living worker."""
    await claims.heartbeat([], "idle")
    await redis.sadd(keys.IDLE_WORKERS, "dead")
    await claims.claim(1)
    await enqueue()
    assert await redis.blpop([keys.WAKE + "w1"], timeout=10) is not None
    assert await redis.smembers(keys.IDLE_WORKERS) <= {"dead"}


async def test_an_ended_message_leaves_no_key_without_owner(
    enqueue: Enqueue, claims: LeaseClient, redis: Any
) -> None:
    """After a commit every key that speaks of the message alone expires."""
    await enqueue("m", conversation="c")
    (claimed,) = await claims.claim(5)
    await commit(claims, claimed)
    lasting = {key for key in await redis.keys() if await redis.ttl(key) == -1}
    assert not {key for key in lasting if key.endswith((":m", ":c", ":m:1"))}, lasting
