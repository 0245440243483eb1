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
    """Opens after 4 failures in a row, or half of 10 calls, for 60 s."""
    breaker = settings.breaker.model_copy(update={"streak": 4, "ratio": 0.5, "calls": 10, "pause": 60, "cap": 600})
    return settings.model_copy(update={"breaker": breaker})


async def fail(breakers: CircuitBreakers, failure: Exception) -> None:
    """One call of the workflow that ends in `failure`."""
    with pytest.raises(type(failure)):
        async with breakers.guard("chat"):
            raise failure


async def succeed(breakers: CircuitBreakers) -> None:
    """One call of the workflow that ends well."""
    async with breakers.guard("chat"):
        pass


async def end_opening(redis: Any) -> None:
    """Let the time of every opening be over."""
    for workflow, value in (await redis.hgetall(keys.BREAKERS)).items():
        await redis.hset(keys.BREAKERS, workflow, f"1 {value.split()[1]}")


async def test_failures_in_a_row_open_it_for_every_worker(tuned: Settings, redis: Any) -> None:
    """The workers' failures add up, and the other worker leaves the workflow alone too."""
    one, other = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    for breakers in (one, other, one, other):
        await fail(breakers, WorkflowTimeout("slow"))
    await one.refresh()
    with pytest.raises(BreakerOpen) as caught:
        await succeed(one)
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 60
    await fail(other, BreakerOpen("open"))


async def test_a_share_of_failures_opens_it(tuned: Settings, redis: Any) -> None:
    """Half of the calls failing is enough, though never four in a row."""
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
async def test_faults_of_messages_do_not_open_it(tuned: Settings, redis: Any, failure: Exception) -> None:
    """An n8n that answers is alive, whatever it answers to one message."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(20):
        await fail(breakers, failure)
    await breakers.refresh()
    await succeed(breakers)


async def test_one_probe_closes_it_again(tuned: Settings, redis: Any) -> None:
    """When its time is over one call goes through, the others wait; its success closes the breaker for all."""
    one, other = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(one, WorkflowTimeout("slow"))
    await end_opening(redis)
    await one.refresh()
    await other.refresh()
    async with one.guard("chat"):
        await fail(other, BreakerOpen("open"))
    await other.refresh()
    await succeed(other)
    assert await redis.hgetall(keys.BREAKERS) == {}


async def test_a_failed_probe_opens_it_for_longer(tuned: Settings, redis: Any) -> None:
    """Each opening lasts twice as long as the one before."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(breakers, WorkflowTimeout("slow"))
    await end_opening(redis)
    await breakers.refresh()
    await fail(breakers, WorkflowTimeout("slow"))
    with pytest.raises(BreakerOpen) as caught:
        await succeed(breakers)
    assert caught.value.retry_after is not None
    assert 110 < caught.value.retry_after <= 120


async def test_a_success_from_before_closes_nothing(tuned: Settings, redis: Any) -> None:
    """What another worker's calls came to before the opening says nothing of the time after it."""
    one, other = CircuitBreakers(redis, tuned), CircuitBreakers(redis, tuned)
    await succeed(other)
    async with other.guard("chat"):  # under way while the breaker opens
        for _ in range(4):
            await fail(one, WorkflowTimeout("slow"))
        await other.refresh()
    for breakers in (one, other):
        await breakers.refresh()
        await fail(breakers, BreakerOpen("open"))


async def test_an_answer_survives_an_outage_of_redis(tuned: Settings, redis: Any) -> None:
    """A probe that succeeds while Redis is away gives its answer all the same, and closes the breaker later."""
    for _ in range(4):
        await fail(CircuitBreakers(redis, tuned), WorkflowTimeout("slow"))
    await end_opening(redis)
    target = tuned.redis
    async with Proxy(target.host, target.port) as proxy:
        away = target.model_copy(update={"host": "127.0.0.1", "port": proxy.port})
        settings = tuned.model_copy(update={"redis": away})
        async with connect(settings) as client:
            breakers = CircuitBreakers(client, settings)
            await breakers.refresh()
            answer = ""
            async with breakers.guard("chat"):
                await proxy.__aexit__(None, None, None)
                answer = "what n8n said"
            assert answer
            with pytest.raises(WorkflowTimeout):
                async with breakers.guard("another"):
                    raise WorkflowTimeout("slow")
            with pytest.raises(RedisUnavailable):
                await breakers.refresh()


async def test_other_workflows_are_not_concerned(tuned: Settings, redis: Any) -> None:
    """A breaker belongs to one webhook."""
    breakers = CircuitBreakers(redis, tuned)
    for _ in range(4):
        await fail(breakers, WorkflowTimeout("slow"))
    async with breakers.guard("another"):
        pass
