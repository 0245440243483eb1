"""The canary feeds the watchdog: a daemon is starved for a canary that stops at its own hop, and for no other."""

from collections.abc import Callable
from typing import Any

import pytest

from daemons.runtime.liveness import LivenessTracker
from daemons.runtime.stage_check import SUBSCRIBER_STAGES, WORKER_STAGES, StageCheck
from daemons.runtime.watchdog import Watchdog
from msgctl.agents.store import Agents
from msgctl.canary.canary import CanaryRunner
from msgctl.canary.location import CanaryStage, locate_canary
from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.retry import RetryLater
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import ERROR, commit, failure
from tools.support.daemons import until

Make = Callable[..., StageCheck]


@pytest.fixture
def cared(settings: Settings) -> Settings:
    """Settings with a canary."""
    return settings.model_copy(update={"canary": settings.canary.model_copy(update={"interval": 60.0})})


@pytest.fixture
async def canary(cared: Settings, redis: RedisClient) -> str:
    """The id of a canary that was sent just now."""
    async with Agents(cared) as agents:
        await CanaryRunner(cared, redis, agents).advance()
    where = await locate_canary(redis)
    assert where.stage is CanaryStage.QUEUED
    return where.message_id


@pytest.fixture
def pace() -> LivenessTracker:
    """Of a daemon whose loops are ready to take."""
    pace = LivenessTracker()
    for loop in ("claiming", "reading"):
        pace.beat(loop)
    return pace


@pytest.fixture
def worker(cared: Settings, redis: RedisClient, pace: LivenessTracker) -> StageCheck:
    """Of worker w1."""
    return StageCheck(cared, redis, pace, name="w1", stages=WORKER_STAGES, loop="claiming")


@pytest.fixture
def subscriber(cared: Settings, redis: RedisClient, pace: LivenessTracker) -> StageCheck:
    """Of subscriber s1."""
    return StageCheck(cared, redis, pace, name="s1", stages=SUBSCRIBER_STAGES, loop="reading")


async def _idle() -> str:
    return "0/10 slots"


async def blamed(hop: StageCheck) -> bool:
    """Whether the second of two looks, with no patience in between, finds a fault."""
    await hop.find_fault(0)
    return bool(await hop.find_fault(0))


async def claim(redis: RedisClient, settings: Settings, worker: str) -> LeasedMessage:
    """The canary, taken by a worker."""
    (claimed,) = await LeaseClient(redis, settings, worker).claim(1)
    return claimed


async def test_a_canary_that_no_worker_takes_blames_a_worker_with_room(
    canary: str, worker: StageCheck, subscriber: StageCheck, pace: LivenessTracker
) -> None:
    """And neither one that is full or drained, nor one that takes other things, nor a subscriber."""
    assert await blamed(worker)
    assert not await blamed(subscriber)
    pace.idle("claiming")
    assert not await blamed(worker)
    pace.beat("claiming")
    assert await worker.find_fault(60) == ""
    assert await blamed(worker)
    pace.progressed()
    assert await worker.find_fault(0.5) == ""


async def test_the_patience_begins_with_the_process(canary: str, worker: StageCheck) -> None:
    """One that was just started again sees an old canary, and is not starved before its time."""
    assert await worker.find_fault(0) == ""


async def test_a_paused_queue_blames_no_one(
    canary: str, worker: StageCheck, redis: RedisClient, cared: Settings
) -> None:
    """A person has said so."""
    await Queue(redis, cared).pause(["messages:1"])
    assert not await blamed(worker)
    await Queue(redis, cared).resume()
    assert await blamed(worker)


async def test_only_the_worker_that_holds_it_is_to_blame(
    canary: str, worker: StageCheck, redis: RedisClient, cared: Settings, pace: LivenessTracker
) -> None:
    """One hangs with the canary in its hands; its neighbours are fed."""
    await claim(redis, cared, "w1")
    other = StageCheck(cared, redis, pace, name="w2", stages=WORKER_STAGES, loop="claiming")
    assert not await blamed(other)
    assert await blamed(worker)


async def test_n8n_being_down_or_slow_blames_no_one(
    canary: str, redis: RedisClient, cared: Settings, worker: StageCheck, pace: LivenessTracker
) -> None:
    """A canary with an agent may take as long as any message; one that is tried again later is no fault."""
    claimed = await claim(redis, cared, "w1")
    through_n8n = cared.model_copy(update={"canary": cared.canary.model_copy(update={"agent": "a" * 36})})
    slow = StageCheck(through_n8n, redis, pace, name="w1", stages=WORKER_STAGES, loop="claiming")
    assert not await blamed(slow)
    assert await blamed(worker)
    assert await LeaseClient(redis, cared, "w1").fail(
        claimed,
        RetryLater(60.0, counts_as_attempt=False),
        error=ERROR,
        record=ERROR,
        failure=failure(claimed),
        fault="transient",
    )
    assert not await blamed(worker)


async def test_a_reply_that_no_subscriber_reads_blames_the_subscriber(
    canary: str, redis: RedisClient, cared: Settings, worker: StageCheck, subscriber: StageCheck
) -> None:
    """Until it is read; then only the one that holds it; then nobody, for it has arrived."""
    stream, other = ResponseStream(redis, cared, "s1"), ResponseStream(redis, cared, "s2")
    await stream.ensure_group()
    await commit(LeaseClient(redis, cared, "w1"), await claim(redis, cared, "w1"))
    assert (await locate_canary(redis)).stage is CanaryStage.UNREAD
    assert (await blamed(subscriber), await blamed(worker)) == (True, False)
    await other.read()  # what is pending there comes first, and there is nothing
    entries = await other.read()
    assert (await locate_canary(redis)).holder == "s2"
    assert not await blamed(subscriber)
    await stream.read()
    await redis.xclaim(keys.RESPONSES, keys.RESPONSES_GROUP, "s1", 0, [entries[0].id])
    assert await blamed(subscriber)
    await WebRouter(redis, cared).route(entries)
    assert not await blamed(subscriber)
    for one in (stream, other):
        await one.close()


async def test_a_redis_that_takes_no_writes_blames_no_one(
    canary: str, worker: StageCheck, redis: Any, cared: Settings, pace: LivenessTracker
) -> None:
    """Full: nobody can take anything, and a restart would not help; once there is room, the fault is one."""
    watchdog = Watchdog(cared, pace, _idle, stage_check=worker, grace_s=0)
    limit = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", 1)
    try:
        for _ in range(3):
            status, fed = await watchdog.check()
        assert (fed, "refuses writes" in status) == ("WATCHDOG=1", True)
    finally:
        await redis.config_set("maxmemory", limit)

    async def starved() -> bool:
        return "WATCHDOG=1" not in await watchdog.check()

    await until(starved, "the watchdog to be starved")


async def test_the_watchdog_is_starved_and_says_why(
    canary: str, cared: Settings, redis: RedisClient, worker: StageCheck, pace: LivenessTracker
) -> None:
    """What systemd shows names the canary; once the daemon moves again, it is fed."""
    pace.idle("reading")
    watchdog = Watchdog(cared, pace, _idle, stage_check=worker, grace_s=0.3)

    async def starved() -> bool:
        pace.beat("claiming")
        return "WATCHDOG=1" not in await watchdog.check()

    await until(starved, "the watchdog to be starved")
    pace.beat("claiming")
    (told,) = await watchdog.check()
    assert told == "STATUS=stuck: The canary waits for any worker, and nothing moves here"
    pace.progressed()
    assert "WATCHDOG=1" in await watchdog.check()


async def test_without_a_canary_nothing_is_asked(
    settings: Settings, redis: RedisClient, pace: LivenessTracker
) -> None:
    """Where none is sent, none can be missed."""
    hop = StageCheck(settings, redis, pace, name="w1", stages=WORKER_STAGES, loop="claiming")
    assert not await blamed(hop)
