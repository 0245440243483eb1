"""The canary feeds the watchdog: a daemon is starved for a canary that stops at its own hop, and for no other."""

from collections.abc import Callable
from typing import Any

import pytest

from daemons._hop import SUBSCRIBER, WORKER, Hop
from daemons._pace import Pace
from daemons._watchdog import Watchdog
from msgctl import contracts
from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.delivery.stream import ResponseStream
from msgctl.delivery.web import Web
from msgctl.operations.canary import Canary
from msgctl.operations.whereabouts import Stage, locate
from msgctl.redisdb.client import RedisClient
from msgctl.retry import RetryLater
from msgctl.rqueue.claims import Claimed, Claims
from msgctl.rqueue.queue import Queue
from tests.support.messages import ERROR, commit, failure
from tools.support.daemons import until

Make = Callable[..., Hop]


@pytest.fixture
def cared(settings: Settings) -> Settings:
    """Settings with a canary."""
    return settings.model_copy(update={"canary": settings.canary.model_copy(update={"interval": 60.0})})


@pytest.fixture
async def canary(cared: Settings, redis: RedisClient) -> str:
    """The id of a canary that was sent just now."""
    async with Agents(cared) as agents:
        await Canary(cared, redis, agents).look()
    where = await locate(redis)
    assert where.stage is Stage.QUEUED
    return where.message_id


@pytest.fixture
def pace() -> Pace:
    """Of a daemon whose loops are ready to take."""
    pace = Pace()
    for loop in ("claiming", "reading"):
        pace.mark(loop)
    return pace


@pytest.fixture
def worker(cared: Settings, redis: RedisClient, pace: Pace) -> Hop:
    """Of worker w1."""
    return Hop(cared, redis, pace, name="w1", stages=WORKER, loop="claiming")


@pytest.fixture
def subscriber(cared: Settings, redis: RedisClient, pace: Pace) -> Hop:
    """Of subscriber s1."""
    return Hop(cared, redis, pace, name="s1", stages=SUBSCRIBER, loop="reading")


async def _idle() -> str:
    return "0/10 slots"


async def blamed(hop: Hop) -> bool:
    """Whether the second of two looks, with no patience in between, finds a fault."""
    await hop.fault(0)
    return bool(await hop.fault(0))


async def claim(redis: RedisClient, settings: Settings, worker: str) -> Claimed:
    """The canary, taken by a worker."""
    (claimed,) = await Claims(redis, settings, worker).claim(1)
    return claimed


async def test_a_canary_that_no_worker_takes_blames_a_worker_with_room(
    canary: str, worker: Hop, subscriber: Hop, pace: Pace
) -> None:
    """And neither one that is full or drained, nor one that takes other things, nor a subscriber."""
    assert await blamed(worker)
    assert not await blamed(subscriber)
    pace.rest("claiming")
    assert not await blamed(worker)
    pace.mark("claiming")
    assert await worker.fault(60) == ""
    assert await blamed(worker)
    pace.moved()
    assert await worker.fault(0.5) == ""


async def test_the_patience_begins_with_the_process(canary: str, worker: Hop) -> None:
    """One that was just started again sees an old canary, and is not starved before its time."""
    assert await worker.fault(0) == ""


async def test_a_paused_queue_blames_no_one(canary: str, worker: Hop, redis: RedisClient, cared: Settings) -> None:
    """A person has said so."""
    await Queue(redis, cared).pause(["messages:1"])
    assert not await blamed(worker)
    await Queue(redis, cared).resume()
    assert await blamed(worker)


async def test_only_the_worker_that_holds_it_is_to_blame(
    canary: str, worker: Hop, redis: RedisClient, cared: Settings, pace: Pace
) -> None:
    """One hangs with the canary in its hands; its neighbours are fed."""
    await claim(redis, cared, "w1")
    other = Hop(cared, redis, pace, name="w2", stages=WORKER, loop="claiming")
    assert not await blamed(other)
    assert await blamed(worker)


async def test_n8n_being_down_or_slow_blames_no_one(
    canary: str, redis: RedisClient, cared: Settings, worker: Hop, pace: Pace
) -> None:
    """A canary with an agent may take as long as any message; one that is tried again later is no fault."""
    claimed = await claim(redis, cared, "w1")
    through_n8n = cared.model_copy(update={"canary": cared.canary.model_copy(update={"agent": "a" * 36})})
    slow = Hop(through_n8n, redis, pace, name="w1", stages=WORKER, loop="claiming")
    assert not await blamed(slow)
    assert await blamed(worker)
    assert await Claims(redis, cared, "w1").fail(
        claimed,
        RetryLater(60.0, counts_as_attempt=False),
        error=ERROR,
        record=ERROR,
        failure=failure(claimed),
        fault="transient",
    )
    assert not await blamed(worker)


async def test_a_reply_that_no_subscriber_reads_blames_the_subscriber(
    canary: str, redis: RedisClient, cared: Settings, worker: Hop, subscriber: Hop
) -> None:
    """Until it is read; then only the one that holds it; then nobody, for it has arrived."""
    stream, other = ResponseStream(redis, cared, "s1"), ResponseStream(redis, cared, "s2")
    await stream.ensure_group()
    await commit(Claims(redis, cared, "w1"), await claim(redis, cared, "w1"))
    assert (await locate(redis)).stage is Stage.UNREAD
    assert (await blamed(subscriber), await blamed(worker)) == (True, False)
    await other.read()  # what is pending there comes first, and there is nothing
    entries = await other.read()
    assert (await locate(redis)).holder == "s2"
    assert not await blamed(subscriber)
    await stream.read()
    await redis.xclaim(contracts.RESPONSES, contracts.RESPONSES_GROUP, "s1", 0, [entries[0].id])
    assert await blamed(subscriber)
    await Web(redis, cared).route(entries)
    assert not await blamed(subscriber)
    for one in (stream, other):
        await one.close()


async def test_a_redis_that_takes_no_writes_blames_no_one(
    canary: str, worker: Hop, redis: Any, cared: Settings, pace: Pace
) -> None:
    """Full: nobody can take anything, and a restart would not help; once there is room, the fault is one."""
    watchdog = Watchdog(cared, pace, _idle, hop=worker, patience=0)
    limit = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", 1)
    try:
        for _ in range(3):
            status, fed = await watchdog.look()
        assert (fed, "refuses writes" in status) == ("WATCHDOG=1", True)
    finally:
        await redis.config_set("maxmemory", limit)

    async def starved() -> bool:
        return "WATCHDOG=1" not in await watchdog.look()

    await until(starved, "the watchdog to be starved")


async def test_the_watchdog_is_starved_and_says_why(
    canary: str, cared: Settings, redis: RedisClient, worker: Hop, pace: Pace
) -> None:
    """What systemd shows names the canary; once the daemon moves again, it is fed."""
    pace.rest("reading")
    watchdog = Watchdog(cared, pace, _idle, hop=worker, patience=0.3)

    async def starved() -> bool:
        pace.mark("claiming")
        return "WATCHDOG=1" not in await watchdog.look()

    await until(starved, "the watchdog to be starved")
    pace.mark("claiming")
    (told,) = await watchdog.look()
    assert told == "STATUS=stuck: The canary waits for any worker, and nothing moves here"
    pace.moved()
    assert "WATCHDOG=1" in await watchdog.look()


async def test_without_a_canary_nothing_is_asked(settings: Settings, redis: RedisClient, pace: Pace) -> None:
    """Where none is sent, none can be missed."""
    hop = Hop(settings, redis, pace, name="w1", stages=WORKER, loop="claiming")
    assert not await blamed(hop)
