"""Waiting for a reply."""

import asyncio

from msgctl.operations.context import Context
from msgctl.operations.messages.reply_watcher import Replies
from tests.support.messages import Traffic, commit

PATIENCE = 30.0


def soon(seconds: float = PATIENCE) -> float:
    """A deadline in the running loop's time."""
    return asyncio.get_running_loop().time() + seconds


async def test_a_reply_that_is_there_already_is_seen(traffic: Traffic, context: Context) -> None:
    """Nothing is published any more, and nothing needs to be."""
    await traffic.completed("m", "I am well.")
    async with context.get(Replies).watch() as watch:
        outcome = await watch.wait_for_outcome("of-m", "m", deadline=soon())
    assert (outcome["state"], outcome["response"]["message"]) == ("completed", "I am well.")


async def test_a_reply_that_comes_later_is_heard(traffic: Traffic, context: Context) -> None:
    """The wait ends with the commit, not before it."""
    claimed = await traffic.active("m")
    async with context.get(Replies).watch() as watch:
        waiting = asyncio.create_task(watch.wait_for_outcome("of-m", "m", deadline=soon()))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await commit(traffic.claims, claimed, "Later.")
        assert (await waiting)["response"]["message"] == "Later."


async def test_a_message_that_fails_ends_the_wait(traffic: Traffic, context: Context) -> None:
    """A dead letter is an outcome, with its error and without a response."""
    claimed = await traffic.active("m")
    async with context.get(Replies).watch() as watch:
        waiting = asyncio.create_task(watch.wait_for_outcome("of-m", "m", deadline=soon()))
        await traffic.fail(claimed)
        outcome = await waiting
    assert (outcome["state"], outcome["error"]["code"]) == ("failed", "n8n_rejected")
    assert "response" not in outcome


async def test_the_wait_has_an_end(traffic: Traffic, context: Context) -> None:
    """At the deadline the status is what it is."""
    await traffic.waiting("m")
    async with context.get(Replies).watch() as watch:
        outcome = await watch.wait_for_outcome("of-m", "m", deadline=soon(0.1))
    assert outcome["state"] == "waiting"
