"""Replaying and editing dead letters, and removing ended messages."""

import pytest

from msgctl.domain.errors import InvalidInput, Refused
from msgctl.domain.messages import State
from msgctl.operations.context import Context
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.lookup import Messages
from msgctl.operations.messages.purge import MessagePurger
from msgctl.operations.workers import Workers
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic


async def test_missing_dead_letter_does_not_stop_a_replay(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """One record is gone and one message is not a dead letter. The third message is replayed."""
    await traffic.failed("gone", "dead")
    await traffic.completed("fine")
    await redis.delete(keys.job_key("gone"))
    outcomes = [replay async for replay in context.get(DeadLetters).replay(["gone", "fine", "dead"])]
    assert outcomes == [("gone", "missing"), ("fine", "not_failed"), ("dead", "replayed")]
    assert (await context.get(Messages).status("dead"))["state"] == "waiting"


async def test_edited_dead_letter_gets_a_replacement(traffic: Traffic, context: Context) -> None:
    """The two name each other, a repeated edit is completed, and an edit with another text is refused."""
    await traffic.failed("m")
    replacement = await context.get(DeadLetters).edit("m", "in other words")
    original, sent = (
        await context.get(Messages).show("m"),
        await context.get(Messages).show(replacement.message_id),
    )
    assert (original["state"], original["message"], original["edition"]) == (
        "failed",
        "hello",
        replacement.message_id,
    )
    assert (sent["state"], sent["message"], sent["original"]) == ("waiting", "in other words", "m")
    assert sent["conversationId"] == original["conversationId"]
    again = await context.get(DeadLetters).edit("m", "in other words")
    assert again.message_id == replacement.message_id
    assert (await context.queue.stats()).total == 2
    with pytest.raises(Refused, match=replacement.message_id):
        await context.get(DeadLetters).edit("m", "in yet other words")
    with pytest.raises(Refused, match="waiting"):
        await context.get(DeadLetters).edit(replacement.message_id, "words")
    with pytest.raises(InvalidInput):
        await context.get(DeadLetters).edit("m", "")


async def test_purge_removes_only_old_messages_of_the_state(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """Of two completed messages the older one is removed. A dead letter of the same age stays."""
    await traffic.completed("old")
    await traffic.completed("new")
    await traffic.failed("dead")
    now = (await redis.time())[0] * 1000
    for message_id in ("old", "dead"):
        await redis.hset(keys.job_key(message_id), keys.FIELD_FINISHED, str(now - 10_000))
    purger = context.get(MessagePurger)
    assert await purger.count(State.COMPLETED, now - 5_000) == 1
    assert sum([count async for count in purger.remove(State.COMPLETED, now - 5_000)]) == 1
    states = [await traffic.queue.find(message_id) for message_id in ("old", "new", "dead")]
    assert [job.state if job else None for job in states] == [None, State.COMPLETED, State.FAILED]
    assert (await context.queue.stats()).total == 2


async def test_live_worker_is_listed_with_its_runs(traffic: Traffic, context: Context) -> None:
    """Without a registration the list is empty."""
    assert await context.get(Workers).list_alive() == []
    await traffic.claims.heartbeat([], "busy")
    await traffic.active("m")
    (worker,) = await context.get(Workers).list_alive()
    assert (worker["name"], worker["state"], worker["running"]) == ("w1", "busy", ["m"])
