"""The overview tab, with a real Valkey, and the header of each tab."""

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.keys import BREAKERS
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import looking
from tests.support.messages import Traffic


async def test_overview_counts_states_and_priorities(desk: DashboardContext, traffic: Traffic) -> None:
    """The header counts each state, and the table counts waiting messages by priority."""
    await traffic.staffed()
    await traffic.completed("c1")
    await traffic.failed("f1", "f2")
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        await sight.shows("waiting 1", "completed 1", "failed 2", "delayed 0", "paused 0")
        row = next(line for line in sight.text.splitlines() if line.strip().startswith("5 "))
        assert row.split()[1] == "1"


async def test_overview_names_health_problems(desk: DashboardContext, traffic: Traffic) -> None:
    """In words, not only by a color."""
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        await sight.shows("!!  waiting 1", "!! NOT HEALTHY", "No worker is alive", "No subscriber is alive")


async def test_overview_shows_worker_slots(desk: DashboardContext, redis: RedisClient, traffic: Traffic) -> None:
    """As a bar and as numbers."""
    await traffic.staffed()
    await redis.hset(keys.RQ_WORKER + "w1", keys.FIELD_SLOTS, "5")
    await traffic.active("a1")
    async with looking(desk) as sight:
        await sight.shows("[#....] 1/5 w1", "slots in use 1 of 5")
        await sight.press("4")
        await sight.shows("[#....] 1/5")


async def test_overview_shows_answer_times_and_backlog(desk: DashboardContext, traffic: Traffic) -> None:
    """The backlog is shown for each channel."""
    await traffic.completed("c1")
    async with looking(desk) as sight:
        await sight.shows("n8n p50 ", "to deliver", "breakers all closed", "answered a second")


async def test_overview_names_unclosed_breakers(desk: DashboardContext, redis: RedisClient) -> None:
    """An open and a half-open one."""
    seconds, _ = await redis.time()
    await redis.hset(BREAKERS, mapping={"chat": f"{seconds * 1000 + 60_000} 2", "shop": "1 1"})
    async with looking(desk) as sight:
        await sight.shows("! breaker chat OPEN for", "! breaker shop HALF-OPEN")


async def test_refresh_keeps_cursor_on_its_row(desk: DashboardContext, traffic: Traffic) -> None:
    """While the counts change."""
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
