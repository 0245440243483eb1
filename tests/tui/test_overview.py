"""The first tab, against a real Valkey; and what stands on every tab."""

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.keys import BREAKERS
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import looking
from tests.support.messages import Traffic


async def test_the_counts_and_priorities(desk: DashboardContext, traffic: Traffic) -> None:
    """Messages in every state are counted on top, and the waiting ones in the row of their priority."""
    await traffic.staffed()
    await traffic.completed("c1")
    await traffic.failed("f1", "f2")
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        await sight.shows("waiting 1", "completed 1", "failed 2", "delayed 0", "paused 0")
        row = next(line for line in sight.text.splitlines() if line.strip().startswith("5 "))
        assert row.split()[1] == "1"


async def test_health_tells_its_reasons(desk: DashboardContext, traffic: Traffic) -> None:
    """What is wrong is said in words, not by a colour."""
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        await sight.shows("!!  waiting 1", "!! NOT HEALTHY", "No worker is alive", "No subscriber is alive")


async def test_workers_with_their_slots(desk: DashboardContext, redis: RedisClient, traffic: Traffic) -> None:
    """A worker shows how many of its slots are in use."""
    await traffic.staffed()
    await redis.hset(keys.RQ_WORKER + "w1", keys.FIELD_SLOTS, "5")
    await traffic.active("a1")
    async with looking(desk) as sight:
        await sight.shows("[#....] 1/5 w1", "slots in use 1 of 5")
        await sight.press("4")
        await sight.shows("[#....] 1/5")


async def test_answer_times_and_what_is_to_be_delivered(desk: DashboardContext, traffic: Traffic) -> None:
    """The newest answers' times and the backlog of each channel."""
    await traffic.completed("c1")
    async with looking(desk) as sight:
        await sight.shows("n8n p50 ", "to deliver", "breakers all closed", "answered a second")


async def test_breakers_that_are_not_closed(desk: DashboardContext, redis: RedisClient) -> None:
    """An open breaker and a half-open one, by name."""
    seconds, _ = await redis.time()
    await redis.hset(BREAKERS, mapping={"chat": f"{seconds * 1000 + 60_000} 2", "shop": "1 1"})
    async with looking(desk) as sight:
        await sight.shows("! breaker chat OPEN for", "! breaker shop HALF-OPEN")


async def test_a_change_moves_no_cursor(desk: DashboardContext, traffic: Traffic) -> None:
    """The row under the cursor stays under it while numbers change."""
    async with looking(desk) as sight:
        await sight.shows("  10   ")
        await sight.press("j", "j", "j")
        await traffic.waiting("w1")
        await sight.shows("waiting 1")
        assert sight.app.query_one("#priorities").selected_key == "4"  # type: ignore[attr-defined]
        await sight.press("G")
        assert sight.app.query_one("#priorities").selected_key == "10"  # type: ignore[attr-defined]
        await sight.press("g", "k")
        assert sight.app.query_one("#priorities").selected_key == "1"  # type: ignore[attr-defined]
