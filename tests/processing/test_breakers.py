"""Circuit breakers, shared by workers through a real Redis."""

from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    BadReply,
    BreakerOpen,
    FaultClass,
    RedisUnavailable,
    WorkflowRejected,
    WorkflowTimeout,
)
from msgctl.processing.breakers import CircuitBreakers
from msgctl.storage.redis import keys
from msgctl.storage.redis.connections import connect
from tools.support.fault_proxy import Proxy


@pytest.fixture
def tuned(settings: Settings) -> Settings:
    """Return settings whose breaker opens for 60 s after 4 failures in a row or when half of 10 calls failed."""
    breaker = settings.breaker.model_copy(update={"streak": 4, "ratio": 0.5, "calls": 10, "pause": 60, "cap": 600})
    return settings.model_copy(update={"breaker": breaker})


async def fail(breakers: CircuitBreakers, failure: Exception) -> None:
    """Call the workflow so that it ends in `failure`."""
    with pytest.raises(type(failure)):
        async with breakers.guard("chat"):
            raise failure


async def succeed(breakers: CircuitBreakers) -> None:
    """Call the workflow so that it succeeds."""
    async with breakers.guard("chat"):
        pass


async def make_half_open(redis: Any) -> None:
    """Make every open breaker half-open."""
    for workflow, value in (await redis.hgetall(keys.BREAKERS)).items():
        await redis.hset(keys.BREAKERS, workflow, f"1 {value.split()[1]}")


async def test_failures_in_a_row_open_the_breaker_for_every_worker(tuned: Settings, redis: Any) -> None:
    """The failures of all workers count together, and no worker calls the workflow after them."""
    first, second = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    for breakers in (first, second, first, second):
        await fail(breakers, WorkflowTimeout("slow"))
    await first.refresh()
    with pytest.raises(BreakerOpen) as caught:
        await succeed(first)
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 60
    await fail(second, BreakerOpen("open"))


async def test_share_of_failures_opens_the_breaker(tuned: Settings, redis: Any) -> None:
    """Half of the calls fail, but never four in a row."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(4):
        await succeed(breakers)
        await fail(breakers, WorkflowTimeout("slow"))
        await breakers.refresh()
    await succeed(breakers)
    await fail(breakers, WorkflowRejected(502, "bad gateway", fault=FaultClass.TRANSIENT))
    await fail(breakers, BreakerOpen("open"))


@pytest.mark.parametrize(
    "failure",
    [
        WorkflowRejected(400, "no", fault=FaultClass.FINAL),
        WorkflowRejected(429, "slow", fault=FaultClass.TRANSIENT),
        BadReply("html"),
    ],
)
async def test_faults_of_messages_do_not_open_the_breaker(tuned: Settings, redis: Any, failure: Exception) -> None:
    """An answer shows that n8n works, even if it rejects one message."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(20):
        await fail(breakers, failure)
    await breakers.refresh()
    await succeed(breakers)


async def test_successful_probe_closes_the_breaker(tuned: Settings, redis: Any) -> None:
    """A half-open breaker lets one call through at a time, and its success closes the breaker for all workers."""
    first, second = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(first, WorkflowTimeout("slow"))
    await make_half_open(redis)
    await first.refresh()
    await second.refresh()
    async with first.guard("chat"):
        await fail(second, BreakerOpen("open"))
    await second.refresh()
    await succeed(second)
    assert await redis.hgetall(keys.BREAKERS) == {}


async def test_failed_probe_opens_the_breaker_for_longer(tuned: Settings, redis: Any) -> None:
    """The breaker stays open twice as long each time."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(breakers, WorkflowTimeout("slow"))
    await make_half_open(redis)
    await breakers.refresh()
    await fail(breakers, WorkflowTimeout("slow"))
    with pytest.raises(BreakerOpen) as caught:
        await succeed(breakers)
    assert caught.value.retry_after is not None
    assert 110 < caught.value.retry_after <= 120


async def test_success_of_an_earlier_call_does_not_close_the_breaker(tuned: Settings, redis: Any) -> None:
    """A call that began before the breaker opened says nothing about the time after it."""
    first, second = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    await succeed(second)
    async with second.guard("chat"):  # in flight while the breaker opens
        for _ in range(4):
            await fail(first, WorkflowTimeout("slow"))
        await second.refresh()
    for breakers in (first, second):
        await breakers.refresh()
        await fail(breakers, BreakerOpen("open"))


async def test_answer_survives_an_outage_of_redis(tuned: Settings, redis: Any) -> None:
    """A probe that succeeds while Redis is down still returns its answer."""
    for _ in range(4):
        await fail(CircuitBreakers(redis, tuned), WorkflowTimeout("slow"))
    await make_half_open(redis)
    target = tuned.redis
    async with Proxy(target.host, target.port) as proxy:
        proxied = target.model_copy(update={"host": "127.0.0.1", "port": proxy.port})
        settings = tuned.model_copy(update={"redis": proxied})
        async with connect(settings) as client:
            breakers = CircuitBreakers(client, settings)
            await breakers.refresh()
            answer = ""
            async with breakers.guard("chat"):
                await proxy.__aexit__(None, None, None)
                answer = "the answer of n8n"
            assert answer
            with pytest.raises(WorkflowTimeout):
                async with breakers.guard("another"):
                    raise WorkflowTimeout("slow")
            with pytest.raises(RedisUnavailable):
                await breakers.refresh()


async def test_breaker_of_one_workflow_does_not_affect_another(tuned: Settings, redis: Any) -> None:
    """Each webhook has its own breaker."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(breakers, WorkflowTimeout("slow"))
    async with breakers.guard("another"):
        pass
