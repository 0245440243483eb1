"""The channels tab: the state of each channel, pause, and resume."""

from msgctl.operations.audit_log import AuditLog
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import looking
from tests.support.messages import Traffic
from tools.support.daemons import until


async def test_pause_and_resume_ask_and_are_recorded(desk: DashboardContext, redis: RedisClient) -> None:
    """P pauses the channel under the cursor and R resumes it. The journal records both."""
    async with looking(desk) as sight:
        await sight.press("6")
        await sight.shows("whatsapp", "telegram", "all breakers closed")
        await sight.press("j", "P")
        await sight.shows("Channel whatsapp will be paused", "Continue?")
        await sight.press("y")
        await sight.shows("PAUSED (operator)", "whatsapp: paused.")
        assert await redis.hexists(keys.CHANNEL_STATE + "whatsapp", "pausedAt")
        await sight.press("P")
        await sight.shows("Continue?")
        await sight.press("y")
        await sight.shows("whatsapp was already")
        await sight.press("1")
        await sight.shows("! whatsapp PAUSED (operator)")
        await sight.press("6", "R")
        await sight.shows("Channel whatsapp will send")
        await sight.press("y")
        await sight.hides("PAUSED (operator)")
        acts = await desk.context.get(AuditLog).newest(10)
        assert [(act.act, act.ids) for act in acts] == [
            ("channel resume", ["whatsapp"]),
            ("channel pause", ["whatsapp"]),
        ]
        assert "@" in acts[0].who


async def test_pause_without_confirmation_changes_nothing(desk: DashboardContext, redis: RedisClient) -> None:
    """A read-only dashboard does not ask, and the web channel cannot be paused."""
    async with looking(desk) as sight:
        await sight.press("6")
        await sight.shows("telegram")
        await sight.press("P")
        await sight.shows("Channel web cannot be paused")
        await sight.press("j", "P")
        await sight.shows("Continue?")
        await sight.press("n")
        await sight.hides("Continue?")
        desk.read_only = True
        await sight.press("P")
        await sight.shows("This dashboard is read-only.")
        assert not await redis.exists(keys.CHANNEL_STATE + "whatsapp")


async def test_channel_row_shows_whether_it_is_configured(desk: DashboardContext) -> None:
    """As in `channel list`: web needs no settings, a bot needs its token."""
    async with looking(desk, (80, 24)) as sight:
        await sight.press("6")
        await sight.shows("configured", "telegram")
        rows = {line.split()[0]: line.split()[1] for line in sight.text.splitlines() if " open " in line}
        assert (rows["web"], rows["telegram"]) == ("yes", "no")


async def test_broken_channel_shows_error_and_advice(
    desk: DashboardContext, redis: RedisClient, traffic: Traffic
) -> None:
    """It has its last error, what to do, and its backlog."""
    await traffic.completed("c1")
    seconds, _ = await redis.time()
    key, until = keys.CHANNEL_STATE + "telegram", (seconds + 60) * 1000
    await redis.hset(key, mapping={"openUntil": until, "code": "not_configured", "failedAt": seconds * 1000})
    await redis.zadd(keys.HELD + "telegram", {"t1": 1, "t2": 2})
    async with looking(desk) as sight:
        await sight.shows("! telegram BROKEN, 2 wait")
        await sight.press("6", "j", "j")
        await sight.shows("BROKEN", "not_configured The channel is not set up")
        await sight.press("enter")
        await sight.shows("[channel:telegram]")


async def test_tab_key_moves_to_breakers(desk: DashboardContext, redis: RedisClient) -> None:
    """The pause still concerns the channel above."""
    seconds, _ = await redis.time()
    await redis.hset(keys.BREAKERS, mapping={"chat": f"{seconds * 1000 + 60_000} 2", "shop": "1 1"})
    async with looking(desk) as sight:
        await sight.press("6")
        await sight.shows("chat", "OPEN for", "HALF-OPEN")
        await sight.press("tab", "j", "c")
        await until(lambda: sight.app.clipboard == "shop", "the workflow's name")
