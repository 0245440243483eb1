"""The messages tab and the message screen: filter, details, and sanitized text."""

from msgctl.domain.messages import Message
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import looking
from tests.support.messages import Traffic, commit

EVIL = "\x1b]0;owned\x07\x1b[2J[bold red]x[/] token=abc123 \u202egnp"


async def test_filter_narrows_messages(desk: DashboardContext, traffic: Traffic) -> None:
    """The caption shows how many messages were read."""
    await traffic.failed("bad1")
    await traffic.waiting("mine", user="ana")
    await traffic.waiting("hers", user="eva")
    async with looking(desk) as sight:
        await sight.press("2")
        await sight.shows("bad1", "mine", "hers", "3 shown; looked through 3 of 3")
        await sight.press("slash", *"eva")
        await sight.shows("\n eva", "3 shown; looked through 3 of 3; Enter applies the filter, Esc takes it away")
        await sight.press(*["backspace"] * 3)
        await sight.type("state:waiting user:eva")
        await sight.shows("1 shown", "hers")
        await sight.hides("mine")
        await sight.press("slash", *["backspace"] * 30)
        await sight.type("error:n8n_rej since:1h channel:web priority:5")
        await sight.shows("bad1", "1 shown")
        await sight.press("escape")
        await sight.shows("3 shown")


async def test_completed_message_shows_no_error(
    desk: DashboardContext, traffic: Traffic, redis: RedisClient
) -> None:
    """The error before a replay is in its details only."""
    await traffic.failed("m1")
    async with looking(desk) as sight:
        await sight.press("2")
        await sight.shows("m1", "n8n_rejected")
        assert [one.outcome async for one in desk.context.get(DeadLetters).replay(["m1"])] == ["replayed"]
        (claimed,) = await traffic.claims.claim(1)
        assert await commit(traffic.claims, claimed, "an answer")
        await sight.shows("completed 1")
        await sight.hides("n8n_rejected")


async def test_invalid_filter_shows_valid_words(desk: DashboardContext) -> None:
    """The error names the wrong word."""
    async with looking(desk) as sight:
        await sight.press("2", "slash")
        await sight.type("colour:red")
        await sight.shows("'colour:red' is not understood")


async def test_enter_opens_message_details(desk: DashboardContext, traffic: Traffic) -> None:
    """It has steps, attempts, events, and the conversation. Esc goes back."""
    await traffic.completed("done1", "the answer")
    async with looking(desk, (120, 60)) as sight:
        await sight.press("2")
        await sight.shows("done1")
        await sight.press("enter")
        await sight.shows(
            "state COMPLETED", "[x] 100 %  done", "attempts 1, runs 1", "claimed by w1, run 1", "the answer"
        )
        await sight.press("j", "space", "b", "k", "G", "g", "c", "escape")
        assert sight.app.clipboard == "done1"
        await sight.shows("looked through")


async def test_second_click_opens_message(desk: DashboardContext, traffic: Traffic) -> None:
    """The first click selects the row."""
    await traffic.waiting("w1")
    await traffic.waiting("w2")
    async with looking(desk) as sight:
        await sight.press("2")
        await sight.shows("w1", "w2")
        for _ in range(2):
            await sight.pilot.click("#pane-messages Table", offset=(4, 2))
            await sight.pilot.pause()
        await sight.shows("state WAITING")


async def test_dead_letter_shows_where_it_stopped(desk: DashboardContext, traffic: Traffic) -> None:
    """With the last error and the record of its run."""
    await traffic.failed("bad1")
    async with looking(desk, (120, 60)) as sight:
        sight.app.open_message("bad1")
        await sight.shows("state FAILED", "last error final n8n_rejected", "run ")


async def test_unknown_message_shows_error(desk: DashboardContext) -> None:
    """The dashboard continues."""
    async with looking(desk) as sight:
        sight.app.open_message("nobody")
        await sight.shows("There is no such message.")


async def test_foreign_text_is_sanitized(desk: DashboardContext, redis: RedisClient) -> None:
    """Escape sequences and markup are shown as text, and secrets are masked."""
    queue = Queue(redis, desk.settings)
    message = Message(
        message_id="evil",
        conversation_id="c",
        agent_id="a",
        user_id="[red]\x1b[31mEve",
        message=EVIL,
        channel_metadata={"to": "+49", "apiToken": "hunter2", "nested": {"password": "hunter2"}},
        timestamp="2026-01-01T00:00:00.000Z",
    )
    await queue.enqueue(message, digest=message.digest())
    async with looking(desk, (160, 60)) as sight:
        await sight.press("2")
        await sight.shows("[red]?[31mEve")
        await sight.press("enter")
        await sight.shows("[bold red]x[/]", "token=[secret]", "(masked)", "\\u001b[2J", "\\u202egnp")
        assert "hunter2" not in sight.text
        assert "\x1b" not in sight.text
        assert "\u202e" not in sight.text


async def test_enter_opens_message_from_deliveries_and_events(
    desk: DashboardContext, traffic: Traffic, redis: RedisClient
) -> None:
    """Each row of the other lists belongs to a message."""
    await traffic.completed("done1")
    await redis.hset(
        keys.DELIVERY + "done1",
        mapping={"state": "SENT", "channel": "web", "attempts": "1", "providerId": "s1"},
    )
    async with looking(desk) as sight:
        await sight.press("5")
        await sight.shows("done1", "SENT", "s1", "the newest 1 of the stream")
        await sight.press("c", "enter")
        assert sight.app.clipboard == "done1"
        await sight.shows("state COMPLETED")
        await sight.press("escape", "7")
        await sight.shows("committed", "following")
        await sight.press("enter")
        await sight.shows("state COMPLETED")
