"""Repeated searches: they cost little while nothing changes, and they are never stale."""

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.domain.retry import GiveUp
from msgctl.operations.context import Context
from msgctl.operations.dashboard.snapshot import BUCKET_S
from msgctl.operations.dashboard.throughput import Throughput
from msgctl.operations.dead_letters.groups import DeadLetterGrouper
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import MessageSearch, split_budget
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic, failure

OTHER = b'{"class":"final","code":"n8n_timeout","text":"n8n gave no answer.","at":"2026-01-01T00:00:09.000Z"}'


async def reads(redis: RedisClient) -> int:
    """Return how many messages have been read since Redis started."""
    return int((await redis.info("commandstats")).get("cmdstat_hmget", {}).get("calls", 0))


async def test_ended_message_is_read_once(redis: RedisClient, traffic: Traffic, context: Context) -> None:
    """A second search and a second grouping read none of the messages that had ended at the first."""
    search, grouper = context.get(MessageSearch), context.get(DeadLetterGrouper)
    await traffic.failed("f1", "f2")
    await traffic.completed("c1")
    await traffic.waiting("w1")
    first = await search.newest(Query(), 10), await grouper.group_newest()
    before = await reads(redis)
    assert (await search.newest(Query(), 10), await grouper.group_newest()) == first
    assert await reads(redis) - before == 1, "only w1 may have changed"


async def test_message_that_failed_again_is_read_again(
    redis: RedisClient, traffic: Traffic, context: Context
) -> None:
    """A dead letter that another operator replayed, and that failed for another reason, shows the new one."""
    search, grouper = context.get(MessageSearch), context.get(DeadLetterGrouper)
    await traffic.failed("f1")
    await search.newest(Query(), 10)
    await grouper.group_newest()
    assert [replay.outcome async for replay in context.get(DeadLetters).replay(["f1"])] == ["replayed"]
    assert [item.state for item in (await search.newest(Query(), 10)).items] == [State.WAITING]
    assert (await grouper.group_newest()).total == 0
    (claimed,) = await traffic.claims.claim(1)
    assert await traffic.claims.fail(claimed, GiveUp(), error=OTHER, record=OTHER, failure=failure(claimed))
    await redis.zincrby(keys.RQ_FAILED + keys.queue_name(5), 1, "f1")  # as if a second had passed
    assert [(item.error or {})["code"] for item in (await search.newest(Query(), 10)).items] == ["n8n_timeout"]
    groups = (await grouper.group_newest()).groups
    assert [group.signature for group in groups] == ["n8n_timeout: n8n gave no answer."]


async def test_search_for_an_error_reads_its_code_and_its_text(traffic: Traffic, context: Context) -> None:
    """Case does not matter. The command line and the dashboard use the same search."""
    await traffic.failed("f1")
    for part in ("N8N_REJ", "Answered 400"):
        found = await context.get(MessageSearch).newest(Query(error=part), 10)
        assert [item.message_id for item in found.items] == ["f1"]


async def test_search_reads_no_more_than_its_window(traffic: Traffic, context: Context) -> None:
    """The sources share the window, whatever the filter, and the result says how many were read."""
    await traffic.failed("f1", "f2", "f3")
    for name in ("w1", "w2", "w3"):
        await traffic.waiting(name)
    for query in (Query(), Query(user="ana")):
        found = await context.get(MessageSearch).newest(query, 10, window=4)
        assert (found.looked_at, found.total, len(found.items)) == (4, 6, 4)
    assert (await context.get(MessageSearch).newest(Query(message_id="w2"), 10)).looked_at == 1


async def test_message_that_failed_after_a_count_is_counted_later(
    redis: RedisClient, traffic: Traffic, settings: Settings
) -> None:
    """A bucket that was open at the first count is counted again, however late the next count is."""
    throughput = Throughput(redis, settings)
    seconds, _ = await redis.time()
    await traffic.failed("f1")
    await throughput.ended_per_bucket(seconds)
    await traffic.failed("f2", "f3")
    _, failed = await throughput.ended_per_bucket(seconds + 12 * BUCKET_S)
    assert sum(map(sum, failed)) == 3


def test_budget_is_shared_among_large_sources() -> None:
    """Small sources are read completely, and large ones share the rest."""
    assert split_budget([0, 3, 1000, 1000], 103) == [0, 3, 50, 50]
    assert split_budget([1, 2], 600) == [1, 2]
    assert sum(split_budget([500] * 7, 600)) == 600
