"""Waiting for replies."""

import asyncio

from msgctl.operations.context import Context
from msgctl.operations.messages.reply_watcher import Replies
from tests.support.messages import Traffic, commit

TIMEOUT_S = 30.0


def deadline_in(seconds: float = TIMEOUT_S) -> float:
    """Return a deadline in the time of the running event loop."""
    return asyncio.get_running_loop().time() + seconds


async def test_wait_returns_a_reply_that_was_committed_before(traffic: Traffic, context: Context) -> None:
    """Nothing is published after the subscription."""
    await traffic.completed("m", "I am well.")
    async with context.get(Replies).watch() as watch:
        outcome = await watch.wait_for_outcome("of-m", "m", deadline=deadline_in())
    assert (outcome["state"], outcome["response"]["message"]) == ("completed", "I am well.")


async def test_wait_ends_with_the_commit(traffic: Traffic, context: Context) -> None:
    """It does not end before."""
    claimed = await traffic.active("m")
    async with context.get(Replies).watch() as watch:
        waiting = asyncio.create_task(watch.wait_for_outcome("of-m", "m", deadline=deadline_in()))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await commit(traffic.claims, claimed, "Later.")
        assert (await waiting)["response"]["message"] == "Later."


async def test_wait_ends_with_a_dead_letter(traffic: Traffic, context: Context) -> None:
    """The outcome has the error and no response."""
    claimed = await traffic.active("m")
    async with context.get(Replies).watch() as watch:
        waiting = asyncio.create_task(watch.wait_for_outcome("of-m", "m", deadline=deadline_in()))
        await traffic.fail(claimed)
        outcome = await waiting
    assert (outcome["state"], outcome["error"]["code"]) == ("failed", "n8n_rejected")
    assert "response" not in outcome


async def test_wait_ends_at_its_deadline(traffic: Traffic, context: Context) -> None:
    """The outcome is the present status."""
    await traffic.waiting("m")
    async with context.get(Replies).watch() as watch:
        outcome = await watch.wait_for_outcome("of-m", "m", deadline=deadline_in(0.1))
    assert outcome["state"] == "waiting"
