"""The dead letters tab: groups, marks, replay, drop, and edit, each after a confirmation."""

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
    """Return the state of a message."""
    job = await Queue(desk.context.get(DeadLetters)._queue._redis, desk.settings).find(message_id)
    return job.state if job else None


async def test_similar_failures_form_one_group(
    desk: DashboardContext, traffic: Traffic, redis: RedisClient
) -> None:
    """Ids, numbers, and addresses are folded, so three failures form two groups."""
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


async def test_replay_asks_and_replays_marked_messages(desk: DashboardContext, traffic: Traffic) -> None:
    """Two of three are marked. The replayed ones are unmarked, and the third stays dead."""
    await traffic.failed("f1", "f2", "f3")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("3 of 3")
        await sight.press("enter", "x", "x")
        await sight.shows("2 marked", "[x]")
        await sight.press("R")
        await sight.shows("2 dead letters will be replayed. Continue?")
        await sight.press("y")
        await sight.shows("the newest 1 of 1 dead letters; 0 marked")
        states = [await state(desk, name) for name in ("f1", "f2", "f3")]
        assert sorted(map(str, states)) == ["failed", "waiting", "waiting"]


async def test_declined_replay_changes_nothing(desk: DashboardContext, traffic: Traffic) -> None:
    """Esc, n, and Enter on the default button decline."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        for key in ("escape", "n", "enter"):
            await sight.press("D")
            await sight.shows("1 dead letter will be dropped for good. Continue?")
            await sight.press(key)
            await sight.hides("Continue?")
        assert await state(desk, "f1") is State.FAILED


async def test_drop_deletes_marked_messages(desk: DashboardContext, traffic: Traffic) -> None:
    """A marks all, D drops them."""
    await traffic.failed("f1", "f2")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("2 of 2")
        await sight.press("A", "D")
        await sight.shows("2 dead letters will be dropped for good")
        await sight.press("y")
        await sight.shows("the newest 0 of 0 dead letters")
        assert await state(desk, "f1") is None


async def test_edit_sends_new_message(desk: DashboardContext, traffic: Traffic, redis: RedisClient) -> None:
    """The dead letter stays and names its replacement."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        await sight.press("enter", "e")
        await sight.shows("Ctrl-S sends a copy", "hello")
        await sight.press("n", "o", "w", "space", "ctrl+s")
        await sight.shows("Sent as")
        queue = Queue(redis, desk.settings)
        original = await queue.find("f1")
        assert original
        assert (original.state, original.message.message) == (State.FAILED, "hello")
        edition = await queue.find(original.replacement_id or "")
        assert edition
        assert (edition.state, edition.message.message) == (State.WAITING, "now hello")


async def test_read_only_dashboard_refuses_changes(desk: DashboardContext, traffic: Traffic) -> None:
    """R, D, and e show a notice and do not ask."""
    desk.read_only = True
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1", "READ-ONLY")
        await sight.press("enter", "R", "D", "e")
        await sight.shows("This dashboard is read-only.")
        assert len(sight.app.screen_stack) == 1
        assert await state(desk, "f1") is State.FAILED


async def test_replay_skips_message_replayed_elsewhere(desk: DashboardContext, traffic: Traffic) -> None:
    """Another operator replays it between question and answer. It is not counted."""
    await traffic.failed("f1")
    async with looking(desk) as sight:
        await sight.press("3")
        await sight.shows("1 of 1")
        await sight.press("R")
        await sight.shows("Continue?")
        assert [one.outcome async for one in desk.context.get(DeadLetters).replay(["f1"])] == ["replayed"]
        await sight.press("y")
        await sight.shows("0 of 1 replayed")
