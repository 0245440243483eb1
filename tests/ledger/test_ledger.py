"""Every transition leaves an event, in the same step, with its evidence and without a word of the message."""

import re
from pathlib import Path
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import ResponseStream, parse_entry
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.retry import RetryLater
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import LIBRARY
from tests.support.messages import ERROR, Traffic, commit, failure, traffic

__all__ = ["traffic"]

SECRET = "a text that no event may hold"


@pytest.fixture
def ledger(redis: RedisClient, settings: Settings) -> Ledger:
    """The ledger of the test's own Redis."""
    return Ledger(redis)


async def story(ledger: Ledger, message_id: str) -> list[str]:
    """What happened to a message, in order."""
    return [event.what for event in await ledger.read_related([message_id], None, "0-0")]


async def hold(claims: LeaseClient, claimed: LeasedMessage, *, counts_as_attempt: bool) -> None:
    """End a run with another one to come at once."""
    decision = RetryLater(0.0, counts_as_attempt=counts_as_attempt)
    assert await claims.fail(
        claimed, decision, error=ERROR, record=ERROR, failure=failure(claimed), fault="transient"
    )


async def test_an_answered_message_leaves_its_whole_way(
    traffic: Traffic, ledger: Ledger, redis: RedisClient, settings: Settings
) -> None:
    """Accepted, claimed, committed, kept for a socket that comes back: who did it, and the evidence of each."""
    await traffic.completed("m")
    stream = ResponseStream(redis, settings, "s1")
    await stream.ensure_group()
    await stream.read()  # what is pending here comes first, and there is nothing
    await WebRouter(redis, settings).route(await stream.read())
    await stream.close()
    events = await ledger.read_related(["m"], None, "0-0")
    assert [event.what for event in events] == ["accepted", "claimed", "committed", "kept"]
    assert [event.actor for event in events] == ["operator", "w1", "w1", "subscriber"]
    accepted, claimed, committed, kept = events
    assert (accepted.conversation_id, accepted.evidence["priority"]) == ("of-m", "5")
    assert (claimed.evidence["run"], claimed.evidence["attempt"]) == ("1", "1")
    assert committed.evidence["seq"] == kept.evidence["seq"] == "1"
    assert [event.position for event in events] == sorted(event.position for event in events)


async def test_failures_tell_their_class_and_code(traffic: Traffic, ledger: Ledger) -> None:
    """A charged attempt, a hold that charges nothing, the promotion between them, and the end."""
    await hold(traffic.claims, await traffic.active("m"), counts_as_attempt=True)
    await traffic.claims.maintain()
    (again,) = await traffic.claims.claim(1)
    await hold(traffic.claims, again, counts_as_attempt=False)
    await traffic.claims.maintain()
    (last,) = await traffic.claims.claim(1)
    await traffic.fail(last)
    await traffic.queue.replay("m")
    events = await ledger.read_related(["m"], None, "0-0")
    expected = "accepted claimed failed queued claimed held queued claimed failed buried replayed"
    assert " ".join(event.what for event in events) == expected
    failed = next(event for event in events if event.what == "failed")
    assert (failed.evidence["class"], failed.evidence["code"]) == ("transient", "n8n_rejected")


async def test_a_lost_lease_is_a_crash_and_then_the_quarantine(
    traffic: Traffic, ledger: Ledger, redis: Any
) -> None:
    """Three crashes, each with its run; then it is set apart."""
    await traffic.waiting("m")
    for _ in range(3):
        (claimed,) = await traffic.claims.claim(1)
        await redis.zadd(keys.LEASES, {claimed.lease: 1})
        await traffic.claims.maintain()
        await redis.hset(keys.TENDED, "grace", 0)
        await traffic.claims.maintain()
    whats = await story(ledger, "m")
    assert whats.count("crashed") == 3
    assert whats[-1] == "quarantined"


async def test_handing_back_and_forgetting_are_told(traffic: Traffic, ledger: Ledger) -> None:
    """A worker that stops, and an operator who cleans, leave their names."""
    await traffic.claims.requeue([await traffic.active("m")])
    (claimed,) = await traffic.claims.claim(1)
    await commit(traffic.claims, claimed)
    await traffic.queue.delete_ended("finished", 2**52, ["m"])
    assert await story(ledger, "m") == ["accepted", "claimed", "handed_back", "claimed", "committed", "removed"]


async def test_the_next_of_a_conversation_says_after_whom_it_came(traffic: Traffic, ledger: Ledger) -> None:
    """The second waits behind the first, and comes into play with its end."""
    await traffic.waiting("one", conversation="c")
    await traffic.waiting("two", conversation="c")
    (claimed,) = await traffic.claims.claim(1)
    await commit(traffic.claims, claimed)
    accepted, queued = await ledger.read_related(["two"], None, "0-0")
    assert (accepted.evidence["ahead"], queued.evidence["after"]) == ("1", "one")
    assert {event.message_id for event in await ledger.read_related([], "c", "0-0")} == {"one", "two"}


async def test_an_edition_is_told(traffic: Traffic, ledger: Ledger) -> None:
    """A dead letter names the message sent in its stead, and that one names it; each once."""
    await traffic.failed("letter")
    await traffic.waiting("edition")
    for _ in range(2):
        await traffic.queue.link_replacement("letter", "edition")
    linked, other = (
        (await ledger.read_related(["letter"], None, "0-0"))[-1],
        await ledger.read_related(["edition"], None, "0-0"),
    )
    assert (linked.what, linked.evidence) == ("edited", {"edition": "edition"})
    assert [(one.what, one.evidence.get("original")) for one in other] == [
        ("accepted", None),
        ("edited", "letter"),
    ]


async def test_a_record_that_was_deleted_is_told(traffic: Traffic, ledger: Ledger, redis: Any) -> None:
    """Of one that waited in its conversation, and of one that ran."""
    for name in ("first", "second"):
        await traffic.waiting(name, conversation="c")
    (claimed,) = await traffic.claims.claim(1)
    await redis.delete(keys.job_key("second"))
    await traffic.fail(claimed)
    assert (await story(ledger, "second"))[-1] == "vanished"
    running = await traffic.active("third")
    await redis.delete(keys.job_key("third"))
    await redis.zadd(keys.LEASES, {running.lease: 1})
    await traffic.claims.maintain()
    await redis.hset(keys.TENDED, "grace", 0)
    await traffic.claims.maintain()
    assert (await story(ledger, "third"))[-1] == "vanished"


MOVES_NO_MESSAGE = {
    "check_messages": "reads",
    "check_queue": "reads",
    "check_runs": "reads",
    "connection_limit": "the sockets of a user",
    "deregister_subscriber": "a subscriber's pending entries are free for others; the takeover is an event",
    "gateway_heartbeat": "a gateway's sign of life",
    "heartbeat": "a worker's sign of life",
    "pause": "a queue",
    "prune_workers": "the registers of workers",
    "rate_limit": "a rate",
    "read_bodies": "reads",
    "read_breakers": "reads",
    "read_summaries": "reads",
    "record_calls": "a breaker",
    "record_failure": "the state of a channel",
    "register_socket": "the sockets of a conversation",
    "sample_backlog": "reads",
    "update_progress": "a percentage",
}
"""Scripts without an event, and what they change instead."""


def test_no_script_moves_a_message_in_silence() -> None:
    """Every script records an event, by itself or by a library function, or changes nothing of a message."""
    root = Path(keys.__file__).parents[3]
    scripts = [*root.glob("msgctl/**/lua/*.lua"), *root.glob("daemons/**/lua/*.lua")]
    recording = re.compile(r"\b(record_event|dead_letter|quarantine_message)\(")
    silent = {
        script.stem
        for script in scripts
        if not (text := script.read_text("utf-8")).startswith(LIBRARY) and not recording.search(text)
    }
    assert silent == MOVES_NO_MESSAGE.keys()


async def test_a_repetition_leaves_no_second_event(traffic: Traffic, ledger: Ledger) -> None:
    """What is accepted once is told once."""
    await traffic.waiting("m")
    await traffic.waiting("m")
    assert await story(ledger, "m") == ["accepted"]


async def test_no_event_holds_a_word_of_the_message(traffic: Traffic, redis: Any) -> None:
    """Neither what the customer said nor what the agent answered."""
    await traffic.completed("m", SECRET)
    entries = await redis.xrange(keys.EVENTS)
    assert entries
    assert SECRET not in str(entries)
    assert "hello" not in str(entries)


async def test_the_ledger_keeps_its_bound_and_counts_what_it_lost(
    redis: Any, settings: Settings, traffic: Traffic
) -> None:
    """A worker cuts it each second; what PostgreSQL did not have is counted."""
    bounded = settings.model_copy(update={"events": settings.events.model_copy(update={"stream": 1000})})
    pipeline = redis.pipeline()
    for number in range(3000):
        pipeline.xadd(keys.EVENTS, {"id": f"m{number}", "what": "accepted", "by": "test"})
    await pipeline.execute()
    await LeaseClient(redis, bounded, "w1").maintain()
    length = await redis.xlen(keys.EVENTS)
    assert 1000 <= length < 1200
    assert int(await redis.get(keys.EVENTS_LOST)) == 3000 - length


def test_an_event_knows_its_time_and_order() -> None:
    """Both follow from the id of its entry."""
    event = Event.from_entry("1767225600123-7", {"id": "m", "what": "claimed", "by": "w", "run": "2", "code": ""})
    assert event.position == (1767225600123, 7)
    assert event.at.isoformat() == "2026-01-01T00:00:00.123000+00:00"
    assert event.evidence == {"run": "2"}


async def test_a_foreign_response_that_cannot_be_read_is_no_event(redis: Any, queue: Queue) -> None:
    """What never becomes a message leaves no trace in the ledger."""
    assert parse_entry("1-0", {"kind": "response", "body": "{"}) is None
    assert await redis.xlen(keys.EVENTS) == 0
