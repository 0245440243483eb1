"""Listing and replaying dead letters, and forgetting messages that are over."""

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


async def test_dead_letters_are_listed_with_their_error(traffic: Traffic, context: Context) -> None:
    """Each has its error and whose it was, and not its text."""
    await traffic.failed("m1", "m2")
    letters = await context.get(DeadLetters).newest(10)
    assert {letter["messageId"] for letter in letters} == {"m1", "m2"}
    assert {letter["error"]["code"] for letter in letters} == {"n8n_rejected"}
    assert "message" not in letters[0]
    assert await context.get(DeadLetters).count() == 2


async def test_a_listing_is_bounded(traffic: Traffic, context: Context) -> None:
    """No more are listed than were asked for, and the rest can be paged to."""
    await traffic.failed("m1", "m2", "m3")
    first = await context.get(DeadLetters).newest(2)
    rest = await context.get(DeadLetters).newest(2, 2)
    assert (len(first), len(rest)) == (2, 1)
    assert {letter["messageId"] for letter in first + rest} == {"m1", "m2", "m3"}


async def test_a_missing_letter_stops_no_replay(traffic: Traffic, context: Context, redis: RedisClient) -> None:
    """The hash of one is gone and one is no dead letter: the third is replayed all the same."""
    await traffic.failed("gone", "dead")
    await traffic.completed("fine")
    await redis.delete(keys.job_key("gone"))
    outcomes = [replay async for replay in context.get(DeadLetters).replay(["gone", "fine", "dead"])]
    assert outcomes == [("gone", "missing"), ("fine", "not_failed"), ("dead", "replayed")]
    assert (await context.get(Messages).status("dead"))["state"] == "waiting"


async def test_all_ids_are_found(traffic: Traffic, context: Context) -> None:
    """Every dead letter as of now, once."""
    await traffic.failed("m1", "m2", "m3")
    assert sorted(await context.get(DeadLetters).all_ids()) == ["m1", "m2", "m3"]


async def test_an_edition_is_a_message_of_its_own(traffic: Traffic, context: Context) -> None:
    """The original stays dead and both name each other; what broke off is taken up, other words are refused."""
    await traffic.failed("m")
    edition = await context.get(DeadLetters).edit("m", "in other words")
    original, sent = await context.get(Messages).show("m"), await context.get(Messages).show(edition.message_id)
    assert (original["state"], original["message"], original["edition"]) == ("failed", "hello", edition.message_id)
    assert (sent["state"], sent["message"], sent["original"]) == ("waiting", "in other words", "m")
    assert sent["conversationId"] == original["conversationId"]
    again = await context.get(DeadLetters).edit("m", "in other words")
    assert again.message_id == edition.message_id
    assert (await context.queue.stats()).total == 2
    with pytest.raises(Refused, match=edition.message_id):
        await context.get(DeadLetters).edit("m", "in yet other words")
    with pytest.raises(Refused, match="waiting"):
        await context.get(DeadLetters).edit(edition.message_id, "words")
    with pytest.raises(InvalidInput):
        await context.get(DeadLetters).edit("m", "")


async def test_cleaning_forgets_only_what_is_old_enough(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """Of two completed messages the older one goes; a dead letter of the same age stays."""
    await traffic.completed("old")
    await traffic.completed("new")
    await traffic.failed("dead")
    now = (await redis.time())[0] * 1000
    for message_id in ("old", "dead"):
        await redis.hset(keys.job_key(message_id), keys.FIELD_FINISHED, str(now - 10_000))
    cleaning = context.get(MessagePurger)
    assert await cleaning.count(State.COMPLETED, now - 5_000) == 1
    assert sum([count async for count in cleaning.remove(State.COMPLETED, now - 5_000)]) == 1
    states = [await traffic.queue.find(message_id) for message_id in ("old", "new", "dead")]
    assert [job.state if job else None for job in states] == [None, State.COMPLETED, State.FAILED]
    assert (await context.queue.stats()).total == 2


async def test_workers_tell_what_they_have_in_hand(traffic: Traffic, context: Context) -> None:
    """A live worker is listed with the ids it runs; one that never was is not."""
    assert await context.get(Workers).list_alive() == []
    await traffic.claims.heartbeat([], "busy")
    await traffic.active("m")
    (worker,) = await context.get(Workers).list_alive()
    assert (worker["name"], worker["state"], worker["running"]) == ("w1", "busy", ["m"])
