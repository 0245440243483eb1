"""The dead letters: grouped, marked, replayed, dropped, edited; and never without a question."""

import msgspec

from msgctl.domain.messages import State
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import looking
from tests.support.messages import Traffic


async def state(desk: DashboardContext, message_id: str) -> State | None:
    """Where a message is."""
    job = await Queue(desk.context.get(DeadLetters)._queue._redis, desk.settings).find(message_id)
    return job.state if job else None


async def test_alike_failures_are_one_group(desk: DashboardContext, traffic: Traffic, redis: RedisClient) -> None:
    """Ids, numbers and addresses fold, so that three failures are two groups."""
    await traffic.failed("f1", "f2", "f3")
    for message_id, text in (("f1", "https://a.example/1 gave 500"), ("f2", "http://b.example/2 gave 502")):
        error = msgspec.json.encode({"code": "n8n_rejected", "text": text})
        await redis.hset(keys.job_key(message_id), keys.FIELD_ERROR, error)
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("the newest 3 of 3 dead letters; 0 marked", "n8n_rejected: URL gave N")
        await sight.press("enter")
        await sight.shows("f1", "f2", "https://a.example/1 gave 500")
        await sight.press("enter")
        await sight.shows("state FAILED")
        await sight.press("escape", "escape")
        await sight.shows("URL gave N")


async def test_replay_asks_and_does_just_the_marked(desk: DashboardContext, traffic: Traffic) -> None:
    """Two of three are marked; the question says two; what was replayed is unmarked, the third stays dead."""
    await traffic.failed("f1", "f2", "f3")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("3 of 3")
        await sight.press("enter", "x", "x")
        await sight.shows("2 marked", "[x]")
        await sight.press("R")
        await sight.shows("2 dead letters will be replayed. Go on?")
        await sight.press("y")
        await sight.shows("the newest 1 of 1 dead letters; 0 marked")
        states = [await state(desk, name) for name in ("f1", "f2", "f3")]
        assert sorted(map(str, states)) == ["failed", "waiting", "waiting"]


async def test_no_is_no(desk: DashboardContext, traffic: Traffic) -> None:
    """Esc, n, and Enter on what the dialog offers first, do nothing."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        for key in ("escape", "n", "enter"):
            await sight.press("D")
            await sight.shows("1 dead letter will be dropped for good. Go on?")
            await sight.press(key)
            await sight.hides("Go on?")
        assert await state(desk, "f1") is State.FAILED


async def test_drop_forgets(desk: DashboardContext, traffic: Traffic) -> None:
    """A marks all, D drops them, for good."""
    await traffic.failed("f1", "f2")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("2 of 2")
        await sight.press("A", "D")
        await sight.shows("2 dead letters will be dropped for good")
        await sight.press("y")
        await sight.shows("the newest 0 of 0 dead letters")
        assert await state(desk, "f1") is None


async def test_edit_and_replay(desk: DashboardContext, traffic: Traffic, redis: RedisClient) -> None:
    """The new text goes as a message of its own; the dead letter stays and names it."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        await sight.press("enter", "e")
        await sight.shows("Ctrl-S sends it anew", "hello")
        await sight.press("n", "o", "w", "space", "ctrl+s")
        await sight.shows("Sent anew as")
        queue = Queue(redis, desk.settings)
        original = await queue.find("f1")
        assert original
        assert (original.state, original.message.message) == (State.FAILED, "hello")
        edition = await queue.find(original.replacement_id or "")
        assert edition
        assert (edition.state, edition.message.message) == (State.WAITING, "now hello")


async def test_read_only_changes_nothing(desk: DashboardContext, traffic: Traffic) -> None:
    """R, D and e say so, and ask nothing."""
    desk.read_only = True
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1", "READ-ONLY")
        await sight.press("enter", "R", "D", "e")
        await sight.shows("This dashboard is read-only.")
        assert len(sight.app.screen_stack) == 1
        assert await state(desk, "f1") is State.FAILED


async def test_one_that_was_taken_meanwhile_does_no_harm(desk: DashboardContext, traffic: Traffic) -> None:
    """Someone else replays it between the question and the answer: it is counted as not done."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        await sight.press("R")
        await sight.shows("Go on?")
        assert [one.outcome async for one in desk.context.get(DeadLetters).replay(["f1"])] == ["replayed"]
        await sight.press("y")
        await sight.shows("0 of 1 replayed")
