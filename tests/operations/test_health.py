"""Health: every reason is found, and nothing else is."""

from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.messages import Traffic


def judged_by(settings: Settings, redis: RedisClient, **limits: Any) -> Context:
    """Operations with other limits of health."""
    strict = settings.model_copy(update={"health": settings.health.model_copy(update=limits)})
    return Context(strict, redis, Queue(redis, strict))


async def codes(context: Context) -> list[str]:
    """The codes of all reasons, after checking that they and the verdict agree."""
    health = await context.get(HealthCheck).run()
    assert health.healthy is (not health.reasons)
    return [reason.code for reason in health.reasons]


async def test_a_staffed_empty_queue_is_healthy(traffic: Traffic, context: Context) -> None:
    """A live worker and a live subscriber are all it takes."""
    await traffic.staffed()
    assert await codes(context) == []


@pytest.mark.parametrize("trouble", ["full", "evicting"])
async def test_a_redis_that_nothing_new_is_put_into_is_a_reason(
    traffic: Traffic, context: Context, redis: RedisClient, trouble: str
) -> None:
    """Who is answered 503 at every POST finds the cause in the health, not only in a log."""
    await traffic.staffed()
    try:
        if trouble == "full":
            used = int((await redis.info("memory"))["used_memory"])
            await redis.config_set("maxmemory", str(int(used * 1.1)))
        else:
            await redis.config_set("maxmemory-policy", "allkeys-lru")
        assert await codes(context) == ["nothing_accepted"]
    finally:
        await redis.config_set("maxmemory", "0")
        await redis.config_set("maxmemory-policy", "noeviction")
    assert await codes(context) == []


async def test_nobody_at_work_is_two_reasons(context: Context) -> None:
    """No worker and no subscriber are told apart, and both are told."""
    assert await codes(context) == ["no_worker", "no_subscriber"]


async def test_a_silent_subscriber_is_dead(traffic: Traffic, context: Context, redis: RedisClient) -> None:
    """One whose last sign of life is eleven seconds old does not count."""
    await traffic.staffed()
    seconds, _ = await redis.time()
    await redis.hset(keys.SUBSCRIBERS, "s1", str((seconds - 11) * 1000))
    assert await codes(context) == ["no_subscriber"]


async def test_too_many_waiting(traffic: Traffic, settings: Settings, redis: RedisClient) -> None:
    """The limit itself is still healthy; one more is not."""
    await traffic.staffed()
    await traffic.waiting("m1")
    assert await codes(judged_by(settings, redis, max_waiting=1)) == []
    await traffic.waiting("m2")
    assert await codes(judged_by(settings, redis, max_waiting=1)) == ["too_many_waiting"]


@pytest.mark.parametrize(("limit", "found"), [(0.5, []), (0.49, ["too_many_failed"])])
async def test_too_many_failed(
    traffic: Traffic, settings: Settings, redis: RedisClient, limit: float, found: list[str]
) -> None:
    """One of two failed: more than 49 %, not more than 50 %."""
    await traffic.staffed()
    await traffic.failed("m1")
    await traffic.completed("m2")
    assert await codes(judged_by(settings, redis, max_failed_ratio=limit)) == found


async def test_a_message_that_waits_too_long(traffic: Traffic, context: Context, redis: RedisClient) -> None:
    """The age of the oldest waiting message counts, however few there are."""
    await traffic.staffed()
    await traffic.waiting("m")
    assert await codes(context) == []
    seconds, _ = await redis.time()
    await redis.hset(keys.job_key("m"), keys.FIELD_READY, str((seconds - 301) * 1000))
    assert await codes(context) == ["waiting_too_long"]


async def test_a_redis_that_is_down_is_a_finding(settings: Settings) -> None:
    """No error is raised and no count is made up."""
    down = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1})})
    redis = connect(down)
    health = await HealthCheck(Context(down, redis, Queue(redis, down))).run()
    await redis.aclose()
    assert (health.healthy, health.stats) == (False, None)
    assert [reason.code for reason in health.reasons] == ["redis_unavailable"]
