"""Looks that are repeated: cheap while nothing changes, and never stale."""

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.domain.retry import GiveUp
from msgctl.operations.context import Context
from msgctl.operations.dashboard.snapshot import BUCKET_S
from msgctl.operations.dashboard.throughput import Throughput
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.dead_letters.triage import Triage
from msgctl.operations.messages.listing import Listing, split_budget
from msgctl.operations.messages.query import Query
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic, failure

OTHER = b'{"class":"final","code":"n8n_timeout","text":"n8n gave no answer.","at":"2026-01-01T00:00:09.000Z"}'


async def reads(redis: RedisClient) -> int:
    """How many messages have been read since Redis started."""
    return int((await redis.info("commandstats")).get("cmdstat_hmget", {}).get("calls", 0))


async def test_what_is_over_is_read_once(redis: RedisClient, traffic: Traffic, context: Context) -> None:
    """A second look at messages and at dead letters reads none of those that were over at the first."""
    await traffic.failed("f1", "f2")
    await traffic.completed("c1")
    await traffic.waiting("w1")
    first = await context.get(Listing).find(Query(), 10), await context.get(Triage).group_newest()
    before = await reads(redis)
    assert (await context.get(Listing).find(Query(), 10), await context.get(Triage).group_newest()) == first
    assert await reads(redis) - before == 1, "w1 alone may have changed"


async def test_what_failed_anew_is_seen(redis: RedisClient, traffic: Traffic, context: Context) -> None:
    """A dead letter that somebody else replayed, and that failed for another reason, shows the new one."""
    await traffic.failed("f1")
    await context.get(Listing).find(Query(), 10)
    await context.get(Triage).group_newest()
    assert [one.outcome async for one in context.get(DeadLetters).replay(["f1"])] == ["replayed"]
    assert [item.state for item in (await context.get(Listing).find(Query(), 10)).items] == [State.WAITING]
    assert (await context.get(Triage).group_newest()).total == 0
    (claimed,) = await traffic.claims.claim(1)
    assert await traffic.claims.fail(claimed, GiveUp(), error=OTHER, record=OTHER, failure=failure(claimed))
    await redis.zincrby(keys.RQ_FAILED + keys.queue_name(5), 1, "f1")  # as if a second had passed
    assert [item.error for item in (await context.get(Listing).find(Query(), 10)).items] == ["n8n_timeout"]
    assert [group.letters[0].code for group in (await context.get(Triage).group_newest()).groups] == [
        "n8n_timeout"
    ]


async def test_what_failed_just_after_a_look_is_counted(
    redis: RedisClient, traffic: Traffic, settings: Settings
) -> None:
    """However late the next look is: the bucket that was open at the first one is counted again."""
    flow = Throughput(redis, settings)
    seconds, _ = await redis.time()
    await traffic.failed("f1")
    await flow.ended_per_bucket(seconds)
    await traffic.failed("f2", "f3")
    _, failed = await flow.ended_per_bucket(seconds + 12 * BUCKET_S)
    assert sum(map(sum, failed)) == 3


def test_a_budget_is_shared_among_what_there_is() -> None:
    """Small sources are read whole, and the large ones share what they leave."""
    assert split_budget([0, 3, 1000, 1000], 103) == [0, 3, 50, 50]
    assert split_budget([1, 2], 600) == [1, 2]
    assert sum(split_budget([500] * 7, 600)) == 600
