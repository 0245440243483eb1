"""The health check finds every reason, and no other."""

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


def context_with_limits(settings: Settings, redis: RedisClient, **limits: Any) -> Context:
    """Return a context with other limits of health."""
    changed = settings.model_copy(update={"health": settings.health.model_copy(update=limits)})
    return Context(changed, redis, Queue(redis, changed))


async def codes(context: Context) -> list[str]:
    """Return the codes of all reasons, after a check that they agree with the verdict."""
    health = await context.get(HealthCheck).run()
    assert health.healthy is (not health.reasons)
    return [reason.code for reason in health.reasons]


async def test_empty_queue_with_worker_and_subscriber_is_healthy(traffic: Traffic, context: Context) -> None:
    """The check needs no more than a live worker and a live subscriber."""
    await traffic.staffed()
    assert await codes(context) == []


@pytest.mark.parametrize("trouble", ["full", "evicting"])
async def test_redis_that_refuses_new_messages_is_a_reason(
    traffic: Traffic, context: Context, redis: RedisClient, trouble: str
) -> None:
    """A client whose every POST gets a 503 finds the cause in the health report, not only in a log."""
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


async def test_missing_worker_and_missing_subscriber_are_two_reasons(context: Context) -> None:
    """Both are reported."""
    assert await codes(context) == ["no_worker", "no_subscriber"]


async def test_subscriber_without_heartbeats_is_dead(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """A subscriber whose last heartbeat is eleven seconds old does not count."""
    await traffic.staffed()
    seconds, _ = await redis.time()
    await redis.hset(keys.SUBSCRIBERS, "s1", str((seconds - 11) * 1000))
    assert await codes(context) == ["no_subscriber"]


async def test_too_many_waiting_messages_are_a_reason(
    traffic: Traffic, settings: Settings, redis: RedisClient
) -> None:
    """At the limit the pipeline is still healthy. One more message is too many."""
    await traffic.staffed()
    await traffic.waiting("m1")
    assert await codes(context_with_limits(settings, redis, max_waiting=1)) == []
    await traffic.waiting("m2")
    assert await codes(context_with_limits(settings, redis, max_waiting=1)) == ["too_many_waiting"]


@pytest.mark.parametrize(("limit", "found"), [(0.5, []), (0.49, ["too_many_failed"])])
async def test_too_many_failed_messages_are_a_reason(
    traffic: Traffic, settings: Settings, redis: RedisClient, limit: float, found: list[str]
) -> None:
    """One of two failed, which is more than 49 % and not more than 50 %."""
    await traffic.staffed()
    await traffic.failed("m1")
    await traffic.completed("m2")
    assert await codes(context_with_limits(settings, redis, max_failed_ratio=limit)) == found


async def test_message_that_waits_too_long_is_a_reason(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """The age of the oldest waiting message counts, even if it is the only one."""
    await traffic.staffed()
    await traffic.waiting("m")
    assert await codes(context) == []
    seconds, _ = await redis.time()
    await redis.hset(keys.job_key("m"), keys.FIELD_READY, str((seconds - 301) * 1000))
    assert await codes(context) == ["waiting_too_long"]


async def test_redis_that_is_down_is_a_reason(settings: Settings) -> None:
    """The check raises no error and reports no counts."""
    down = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1})})
    redis = connect(down)
    health = await HealthCheck(Context(down, redis, Queue(redis, down))).run()
    await redis.aclose()
    assert (health.healthy, health.stats) == (False, None)
    assert [reason.code for reason in health.reasons] == ["redis_unavailable"]
