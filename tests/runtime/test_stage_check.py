"""The stage check: the watchdog of a daemon is not fed if the canary is stuck at that daemon."""

from typing import Any

import pytest

from daemons.runtime.watchdog import SUBSCRIBER_STAGES, WORKER_STAGES, LivenessTracker, StageCheck, Watchdog
from msgctl.agents.agents import Agents
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


@pytest.fixture
def canary_settings(settings: Settings) -> Settings:
    """Settings with a canary."""
    return settings.model_copy(update={"canary": settings.canary.model_copy(update={"interval": 60.0})})


@pytest.fixture
async def canary(canary_settings: Settings, redis: RedisClient) -> str:
    """The id of a canary that was sent just now."""
    async with Agents(canary_settings) as agents:
        await CanaryRunner(canary_settings, redis, agents).advance()
    where = await locate_canary(redis)
    assert where.stage is CanaryStage.QUEUED
    return where.message_id


@pytest.fixture
def liveness() -> LivenessTracker:
    """The loops of a daemon that can take work."""
    liveness = LivenessTracker()
    for loop in ("claiming", "reading"):
        liveness.beat(loop)
    return liveness


@pytest.fixture
def worker(canary_settings: Settings, redis: RedisClient, liveness: LivenessTracker) -> StageCheck:
    """The stage check of worker `w1`."""
    return StageCheck(canary_settings, redis, liveness, name="w1", stages=WORKER_STAGES, loop="claiming")


@pytest.fixture
def subscriber(canary_settings: Settings, redis: RedisClient, liveness: LivenessTracker) -> StageCheck:
    """The stage check of subscriber `s1`."""
    return StageCheck(canary_settings, redis, liveness, name="s1", stages=SUBSCRIBER_STAGES, loop="reading")


async def _idle() -> str:
    return "0/10 slots"


async def has_fault(stage_check: StageCheck) -> bool:
    """Return whether the second of two checks without a grace period finds a fault."""
    await stage_check.find_fault(0)
    return bool(await stage_check.find_fault(0))


async def claim(redis: RedisClient, settings: Settings, worker: str) -> LeasedMessage:
    """Lease the canary for a worker."""
    (claimed,) = await LeaseClient(redis, settings, worker).claim(1)
    return claimed


async def test_queued_canary_is_the_fault_of_a_worker_with_free_slots(
    canary: str, worker: StageCheck, subscriber: StageCheck, liveness: LivenessTracker
) -> None:
    """It is no fault of a full or drained worker, of one that makes other progress, or of a subscriber."""
    assert await has_fault(worker)
    assert not await has_fault(subscriber)
    liveness.idle("claiming")
    assert not await has_fault(worker)
    liveness.beat("claiming")
    assert await worker.find_fault(60) == ""
    assert await has_fault(worker)
    liveness.progressed()
    assert await worker.find_fault(0.5) == ""


async def test_grace_period_starts_with_the_process(canary: str, worker: StageCheck) -> None:
    """A restarted process that sees an old canary gets the whole grace period."""
    assert await worker.find_fault(0) == ""


async def test_paused_queue_is_no_fault(
    canary: str, worker: StageCheck, redis: RedisClient, canary_settings: Settings
) -> None:
    """An operator paused it."""
    await Queue(redis, canary_settings).pause(["messages:1"])
    assert not await has_fault(worker)
    await Queue(redis, canary_settings).resume()
    assert await has_fault(worker)


async def test_running_canary_is_the_fault_of_its_worker_only(
    canary: str, worker: StageCheck, redis: RedisClient, canary_settings: Settings, liveness: LivenessTracker
) -> None:
    """One worker hangs with the canary. The watchdogs of the others are fed."""
    await claim(redis, canary_settings, "w1")
    other = StageCheck(canary_settings, redis, liveness, name="w2", stages=WORKER_STAGES, loop="claiming")
    assert not await has_fault(other)
    assert await has_fault(worker)


async def test_slow_or_failed_n8n_is_no_fault(
    canary: str, redis: RedisClient, canary_settings: Settings, worker: StageCheck, liveness: LivenessTracker
) -> None:
    """A canary with an agent may take as long as any message. One that is retried later is no fault."""
    claimed = await claim(redis, canary_settings, "w1")
    through_n8n = canary_settings.model_copy(
        update={"canary": canary_settings.canary.model_copy(update={"agent": "a" * 36})}
    )
    slow = StageCheck(through_n8n, redis, liveness, name="w1", stages=WORKER_STAGES, loop="claiming")
    assert not await has_fault(slow)
    assert await has_fault(worker)
    assert await LeaseClient(redis, canary_settings, "w1").fail(
        claimed,
        RetryLater(60.0, counts_as_attempt=False),
        error=ERROR,
        record=ERROR,
        failure=failure(claimed),
        fault="transient",
    )
    assert not await has_fault(worker)


async def test_unread_reply_is_the_fault_of_the_subscriber(
    canary: str, redis: RedisClient, canary_settings: Settings, worker: StageCheck, subscriber: StageCheck
) -> None:
    """It is, until the reply is read. Then only its holder is at fault, and nobody after its arrival."""
    stream, other = ResponseStream(redis, canary_settings, "s1"), ResponseStream(redis, canary_settings, "s2")
    await stream.ensure_group()
    await commit(LeaseClient(redis, canary_settings, "w1"), await claim(redis, canary_settings, "w1"))
    assert (await locate_canary(redis)).stage is CanaryStage.UNREAD
    assert (await has_fault(subscriber), await has_fault(worker)) == (True, False)
    await other.read()  # pending entries come first, and there are none
    entries = await other.read()
    assert (await locate_canary(redis)).holder == "s2"
    assert not await has_fault(subscriber)
    await stream.read()
    await redis.xclaim(keys.RESPONSES, keys.RESPONSES_GROUP, "s1", 0, [entries[0].id])
    assert await has_fault(subscriber)
    await WebRouter(redis, canary_settings).route(entries)
    assert not await has_fault(subscriber)
    for response_stream in (stream, other):
        await response_stream.close()


async def test_redis_without_writes_is_no_fault(
    canary: str, worker: StageCheck, redis: Any, canary_settings: Settings, liveness: LivenessTracker
) -> None:
    """A full Redis prevents progress everywhere, and a restart would not help. With room again, it is a fault."""
    watchdog = Watchdog(canary_settings, liveness, _idle, stage_check=worker, grace_s=0)
    limit = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", 1)
    try:
        for _ in range(3):
            status, fed = await watchdog.check()
        assert (fed, "refuses writes" in status) == ("WATCHDOG=1", True)
    finally:
        await redis.config_set("maxmemory", limit)

    async def is_starved() -> bool:
        return "WATCHDOG=1" not in await watchdog.check()

    await until(is_starved, "the watchdog to be starved")


async def test_watchdog_is_not_fed_and_names_the_canary(
    canary: str, canary_settings: Settings, redis: RedisClient, worker: StageCheck, liveness: LivenessTracker
) -> None:
    """The status names the canary. After new progress, the watchdog is fed."""
    liveness.idle("reading")
    watchdog = Watchdog(canary_settings, liveness, _idle, stage_check=worker, grace_s=0.3)

    async def is_starved() -> bool:
        liveness.beat("claiming")
        return "WATCHDOG=1" not in await watchdog.check()

    await until(is_starved, "the watchdog to be starved")
    liveness.beat("claiming")
    (line,) = await watchdog.check()
    assert line == "STATUS=stuck: The canary waits for any worker, and nothing moves here"
    liveness.progressed()
    assert "WATCHDOG=1" in await watchdog.check()


async def test_stage_check_finds_nothing_without_a_canary(
    settings: Settings, redis: RedisClient, liveness: LivenessTracker
) -> None:
    """With `canary.interval` 0 no canary can be late."""
    stage_check = StageCheck(settings, redis, liveness, name="w1", stages=WORKER_STAGES, loop="claiming")
    assert not await has_fault(stage_check)
