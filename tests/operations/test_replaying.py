"""Searching, grouping, planning, replaying, and cancelling dead letters."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.domain.errors import Incomplete
from msgctl.domain.messages import State
from msgctl.domain.retry import GiveUp
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.operations.dead_letters.groups import DeadLetterGrouper
from msgctl.operations.dead_letters.replay import BulkReplay, ReplayPacing
from msgctl.operations.messages.cancel import MessageCanceller
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import MessageSearch
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import ReplayStatus
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic, commit, failure

LETTERS = Query(state=State.FAILED)


class Directory:
    """A directory with one agent, which belongs to Ana."""

    async def find(self, agent_id: str) -> Agent | None:
        """Return the agent for its id."""
        return Agent(id="a", user_id="ana", name="A", webhook_path="w") if agent_id == "a" else None


async def set_error(redis: RedisClient, message_id: str, text: str, code: str = "n8n_rejected") -> None:
    """Give a dead letter another error."""
    error = msgspec.json.encode({"class": "transient", "code": code, "text": text, "at": ""})
    await redis.hset(keys.job_key(message_id), keys.FIELD_ERROR, error.decode())


async def ids(context: Context, query: Query) -> set[str]:
    """Return the ids that a complete walk finds. A bounded search whose window is large enough finds the same."""
    walked = {item.message_id for item in await context.get(MessageSearch).all(query)}
    newest = {item.message_id for item in (await context.get(MessageSearch).newest(query, 100)).items}
    assert walked == newest
    return walked


async def test_bounded_search_finds_the_newest_messages(traffic: Traffic, context: Context) -> None:
    """With a limit it returns the messages that ended last."""
    await traffic.failed("m1", "m2", "m3")
    for message_id in ("n1", "n2", "n3"):
        await traffic.completed(message_id)
    for state, newest in ((State.FAILED, "m3"), (State.COMPLETED, "n3")):
        window = await context.get(MessageSearch).newest(Query(state=state), 1)
        assert [item.message_id for item in window.items] == [newest]


async def test_query_selects_messages_by_each_filter(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """State, user, error, text, time, and group filter a walk and a bounded search alike."""
    await traffic.completed("done")
    await traffic.failed("m1", "m2")
    await set_error(redis, "m2", "no route to 10.0.0.1")
    await traffic.waiting("bob", user="bob")
    assert await ids(context, Query()) == {"done", "m1", "m2", "bob"}
    assert await ids(context, Query(state=State.COMPLETED)) == {"done"}
    assert await ids(context, Query(user="bob")) == {"bob"}
    assert await ids(context, Query(error="ROUTE")) == {"m2"}
    assert await ids(context, Query(match="hell")) == {"done", "m1", "m2", "bob"}
    assert await ids(context, Query(match="never said")) == set()
    assert await ids(context, Query(since=3600, state=State.FAILED)) == {"m1", "m2"}
    assert await ids(context, Query(until=3600, state=State.FAILED)) == set()
    groups = await context.get(DeadLetterGrouper).group_all(LETTERS)
    (group,) = [group for group in groups if group.sample == "m2"]
    assert await ids(context, Query(group=group.group[:6])) == {"m2"}


async def test_errors_that_differ_in_particulars_are_one_group(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """Ids, numbers, and addresses do not count. The code does."""
    await traffic.failed("m1", "m2", "m3")
    await set_error(redis, "m1", "http://n8n:5678/webhook/a answered 502 after 17 ms")
    await set_error(redis, "m2", "http://other/webhook/b answered 503 after 4 ms")
    await set_error(redis, "m3", "http://other/webhook/b answered 503 after 4 ms", code="n8n_timeout")
    first, second = await context.get(DeadLetterGrouper).group_all(LETTERS)
    assert (first.count, first.signature) == (2, "n8n_rejected: URL answered N after N ms")
    assert (first.channels, first.agents) == (["web"], ["a"])
    assert first.first_seen <= first.last_seen
    assert second.count == 1


async def test_plan_has_the_reason_of_each_skipped_message(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """The reasons include a missing agent, a closed window, a cancellation, and an id that was named twice."""
    await traffic.completed("answered")
    await traffic.failed("fine", "edited", "orphan", "late")
    await redis.hset(keys.job_key("edited"), keys.FIELD_EDITION, "new")
    await redis.hset(keys.job_key("late"), keys.FIELD_CHANNEL, "whatsapp")
    await redis.hset(keys.job_key("late"), "created_at", "2026-01-01T00:00:00.000000Z")
    text = await redis.hget(keys.job_key("orphan"), keys.FIELD_MESSAGE)
    await redis.hset(
        keys.job_key("orphan"), keys.FIELD_MESSAGE, str(text).replace('"agentId":"a"', '"agentId":"b"')
    )
    await redis.hset(keys.job_key("orphan"), keys.FIELD_AGENT, "b")
    await traffic.waiting("cancelled")
    assert await context.get(MessageCanceller).cancel(["cancelled"]) == {"cancelled": "cancelled"}
    found = await context.get(MessageSearch).all(Query())
    plan = await context.get(BulkReplay).plan(found, Directory())
    assert plan.replay == ["fine"]
    assert {skip.message_id: skip.reason for skip in plan.skip} == {
        "answered": "already_answered",
        "edited": "superseded",
        "orphan": "agent_gone",
        "late": "window_closed",
        "cancelled": "not_retryable",
    }
    chosen = [item for item in found if item.message_id in {"fine", "cancelled"}]
    named = await context.get(BulkReplay).plan(chosen, Directory(), named=["fine", "gone", "fine", "cancelled"])
    assert set(named.replay) == {"fine", "cancelled"}
    assert [(skip.message_id, skip.reason) for skip in named.skip] == [("gone", "missing"), ("fine", "duplicate")]


async def test_replay_sends_no_batch_above_its_rate(traffic: Traffic, context: Context) -> None:
    """At ten messages per second a batch has at most five."""
    names = [f"m{number}" for number in range(12)]
    await traffic.failed(*names)
    sizes = [
        len(batch) async for batch in context.get(BulkReplay).run(names, ReplayPacing(messages_per_second=10))
    ]
    assert sum(sizes) == 12
    assert max(sizes) <= 5
    assert (await context.queue.stats()).waiting == 12


async def test_cancelled_replay_reports_the_batch_in_flight(
    traffic: Traffic, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that Redis replayed is yielded although the task was cancelled before the answer arrived."""
    await traffic.failed("m1", "m2", "m3")
    replay_many = context.queue.replay_many

    async def cancelled_replay(batch: Sequence[str]) -> list[ReplayStatus]:
        outcomes = await replay_many(batch)
        running.cancel()
        await asyncio.sleep(0)
        return outcomes

    monkeypatch.setattr(context.queue, "replay_many", cancelled_replay)
    replayed: list[str] = []

    async def replay() -> None:
        async for batch in context.get(BulkReplay).run(["m1", "m2", "m3"], ReplayPacing(messages_per_second=2)):
            replayed.extend(one.message_id for one in batch)

    running = asyncio.create_task(replay())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert replayed == ["m1"]
    assert (await context.queue.stats()).waiting == 1


async def test_failed_canary_stops_a_replay(traffic: Traffic, context: Context) -> None:
    """The first message fails again, and the others stay dead letters."""
    await traffic.failed("m1", "m2")
    run = context.get(BulkReplay).run(["m1", "m2"], ReplayPacing(canary_count=1))
    assert [one.outcome for one in await anext(run)] == ["replayed"]
    (claimed,) = await traffic.claims.claim(1)
    await traffic.fail(claimed)
    with pytest.raises(Incomplete, match="canary"):
        await anext(run)
    assert (await context.queue.stats()).failed == 2


async def test_answered_canary_continues_a_replay(traffic: Traffic, context: Context) -> None:
    """The first message is answered, and the others follow."""
    await traffic.failed("m1", "m2")
    run = context.get(BulkReplay).run(["m1", "m2"], ReplayPacing(canary_count=1))
    await anext(run)
    (claimed,) = await traffic.claims.claim(1)
    assert await commit(traffic.claims, claimed)
    assert [one.message_id for one in await anext(run)] == ["m2"]


async def test_too_many_failures_stop_a_replay(traffic: Traffic, context: Context) -> None:
    """When more than a fifth of at least ten results are failures, the rest is not replayed."""
    names = [f"m{number}" for number in range(30)]
    await traffic.failed(*names)
    done = 0

    async def replay() -> None:
        nonlocal done
        async for batch in context.get(BulkReplay).run(
            names, ReplayPacing(messages_per_second=24, max_failure_ratio=0.2)
        ):
            done += len(batch)
            for claimed in await traffic.claims.claim(50):
                await traffic.fail(claimed)

    with pytest.raises(Incomplete, match="failed again"):
        await replay()
    assert 10 <= done < 30


async def test_conversation_continues_after_a_cancelled_message(traffic: Traffic, context: Context) -> None:
    """The next message is queued, and the cancelled one is a dead letter that can be replayed."""
    for name in ("m1", "m2", "m3"):
        await traffic.waiting(name, conversation="c")
    outcomes = await context.get(MessageCanceller).cancel(["m1", "m3", "nobody"], "wrong number")
    assert outcomes == {"m1": "cancelled", "m3": "cancelled", "nobody": "missing"}
    assert (await context.queue.stats()).failed == 2
    (claimed,) = await traffic.claims.claim(5)
    assert claimed.message.message_id == "m2"
    assert await context.get(MessageCanceller).cancel(["m2"]) == {"m2": "active"}
    assert await commit(traffic.claims, claimed)
    assert await traffic.queue.replay("m3") == "replayed"
    verdict = await context.get(InvariantVerification).run()
    assert verdict.holds, verdict.violations


async def test_workers_claim_nothing_from_a_paused_priority(traffic: Traffic, context: Context) -> None:
    """Its messages count as paused, and after a resume they are claimed."""
    await traffic.waiting("m1")
    await traffic.queue.pause(["messages:5"])
    assert await traffic.claims.claim(5) == []
    stats = await context.queue.stats()
    assert (stats.waiting, stats.paused, stats.total) == (0, 1, 1)
    assert await traffic.queue.list_paused() == ["messages:5"]
    health = await context.get(HealthCheck).run(strict=True)
    assert [reason.code for reason in health.reasons] == ["no_worker", "no_subscriber", "paused"]
    await traffic.queue.resume(["messages:5"])
    assert [leased.message.message_id for leased in await traffic.claims.claim(5)] == ["m1"]


async def test_pause_of_all_queues_is_the_suspension_of_rq(traffic: Traffic, context: Context) -> None:
    """A pause without names is `rq suspend`, and a resume without names ends every pause."""
    await traffic.waiting("m1")
    await traffic.queue.pause()
    await traffic.queue.pause(["messages:5"])
    assert len(await traffic.queue.list_paused()) == 10
    assert await traffic.claims.claim(5) == []
    assert (await context.queue.stats()).paused == 1
    await traffic.queue.resume()
    assert await traffic.queue.list_paused() == []
    assert len(await traffic.claims.claim(5)) == 1


async def test_resume_wakes_an_idle_worker(traffic: Traffic, redis: RedisClient) -> None:
    """A worker that found only a paused queue gets a token when it is resumed."""
    await redis.hset(keys.RQ_WORKER + "w1", "state", "idle")
    await traffic.queue.pause(["messages:5"])
    assert await traffic.claims.claim(1) == []
    await traffic.queue.resume()
    assert await redis.llen(keys.WAKE + "w1") == 1


async def test_reply_whose_commit_was_refused_is_used_by_the_next_run(
    traffic: Traffic, redis: RedisClient, settings: Settings
) -> None:
    """A worker that lost its lease cannot commit. Its reply is stored, and the next run commits it."""
    claimed = await traffic.active("m")
    await redis.zrem(keys.LEASES, claimed.lease)
    assert await commit(traffic.claims, claimed, "an answer that cost ten seconds") is None
    await redis.zadd(keys.LEASES, {claimed.lease: 2e12})
    await traffic.claims.fail(claimed, GiveUp(), error=b"{}", record=b"{}", failure=failure(claimed))
    assert await traffic.queue.replay("m") == "replayed"
    (again,) = await LeaseClient(redis, settings, "w2").claim(1)
    assert again.stored_reply
    assert again.stored_reply.message == "an answer that cost ten seconds"
    assert await commit(traffic.claims, again, again.stored_reply.message)
    assert not await redis.hexists(keys.job_key("m"), keys.FIELD_REPLY)
