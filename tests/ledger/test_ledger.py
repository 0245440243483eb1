"""Every transition records an event in the same script, with its evidence and without the text of the message."""

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

SECRET = "a text that no event may contain"


@pytest.fixture
def ledger(redis: RedisClient, settings: Settings) -> Ledger:
    """Return the ledger of the test's own Redis."""
    return Ledger(redis)


async def read_whats(ledger: Ledger, message_id: str) -> list[str]:
    """Return the names of a message's events, in order."""
    return [event.what for event in await ledger.read_related([message_id], None, "0-0")]


async def retry_now(claims: LeaseClient, claimed: LeasedMessage, *, counts_as_attempt: bool) -> None:
    """Fail a run so that the next one is due immediately."""
    decision = RetryLater(0.0, counts_as_attempt=counts_as_attempt)
    assert await claims.fail(
        claimed, decision, error=ERROR, record=ERROR, failure=failure(claimed), fault="transient"
    )


async def test_answered_message_has_all_its_events(
    traffic: Traffic, ledger: Ledger, redis: RedisClient, settings: Settings
) -> None:
    """Accepted, claimed, committed, retained: each event has its actor and its evidence."""
    await traffic.completed("m")
    stream = ResponseStream(redis, settings, "s1")
    await stream.ensure_group()
    await stream.read()  # the first read returns pending entries, and there are none
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


async def test_failures_have_their_class_and_code(traffic: Traffic, ledger: Ledger) -> None:
    """A counted attempt, a promotion, a snooze, and the dead letter have their events."""
    await retry_now(traffic.claims, await traffic.active("m"), counts_as_attempt=True)
    await traffic.claims.maintain()
    (second,) = await traffic.claims.claim(1)
    await retry_now(traffic.claims, second, counts_as_attempt=False)
    await traffic.claims.maintain()
    (last,) = await traffic.claims.claim(1)
    await traffic.fail(last)
    await traffic.queue.replay("m")
    events = await ledger.read_related(["m"], None, "0-0")
    expected = "accepted claimed failed queued claimed held queued claimed failed buried replayed"
    assert " ".join(event.what for event in events) == expected
    failed = next(event for event in events if event.what == "failed")
    assert (failed.evidence["class"], failed.evidence["code"]) == ("transient", "n8n_rejected")


async def test_lost_leases_are_crashes_and_then_the_quarantine(
    traffic: Traffic, ledger: Ledger, redis: Any
) -> None:
    """After three crashes the message is quarantined."""
    await traffic.waiting("m")
    for _ in range(3):
        (claimed,) = await traffic.claims.claim(1)
        await redis.zadd(keys.LEASES, {claimed.lease: 1})
        await traffic.claims.maintain()
        await redis.hset(keys.TENDED, "grace", 0)
        await traffic.claims.maintain()
    whats = await read_whats(ledger, "m")
    assert whats.count("crashed") == 3
    assert whats[-1] == "quarantined"


async def test_requeue_and_deletion_have_events(traffic: Traffic, ledger: Ledger) -> None:
    """A worker that stops and an operator who deletes jobs each leave an event."""
    await traffic.claims.requeue([await traffic.active("m")])
    (claimed,) = await traffic.claims.claim(1)
    await commit(traffic.claims, claimed)
    await traffic.queue.delete_ended("finished", 2**52, ["m"])
    assert await read_whats(ledger, "m") == [
        "accepted",
        "claimed",
        "handed_back",
        "claimed",
        "committed",
        "removed",
    ]


async def test_next_message_of_a_conversation_names_the_one_before(traffic: Traffic, ledger: Ledger) -> None:
    """The second message waits behind the first and is queued when that has ended."""
    await traffic.waiting("one", conversation="c")
    await traffic.waiting("two", conversation="c")
    (claimed,) = await traffic.claims.claim(1)
    await commit(traffic.claims, claimed)
    accepted, queued = await ledger.read_related(["two"], None, "0-0")
    assert (accepted.evidence["ahead"], queued.evidence["after"]) == ("1", "one")
    assert {event.message_id for event in await ledger.read_related([], "c", "0-0")} == {"one", "two"}


async def test_replacement_has_events(traffic: Traffic, ledger: Ledger) -> None:
    """A dead letter and its replacement refer to each other, once each."""
    await traffic.failed("letter")
    await traffic.waiting("edition")
    for _ in range(2):
        await traffic.queue.link_replacement("letter", "edition")
    linked, events = (
        (await ledger.read_related(["letter"], None, "0-0"))[-1],
        await ledger.read_related(["edition"], None, "0-0"),
    )
    assert (linked.what, linked.evidence) == ("edited", {"edition": "edition"})
    assert [(event.what, event.evidence.get("original")) for event in events] == [
        ("accepted", None),
        ("edited", "letter"),
    ]


async def test_deleted_job_has_an_event(traffic: Traffic, ledger: Ledger, redis: Any) -> None:
    """Both for a job that waited in its conversation and for one that ran."""
    for name in ("first", "second"):
        await traffic.waiting(name, conversation="c")
    (claimed,) = await traffic.claims.claim(1)
    await redis.delete(keys.job_key("second"))
    await traffic.fail(claimed)
    assert (await read_whats(ledger, "second"))[-1] == "vanished"
    running = await traffic.active("third")
    await redis.delete(keys.job_key("third"))
    await redis.zadd(keys.LEASES, {running.lease: 1})
    await traffic.claims.maintain()
    await redis.hset(keys.TENDED, "grace", 0)
    await traffic.claims.maintain()
    assert (await read_whats(ledger, "third"))[-1] == "vanished"


SCRIPTS_WITHOUT_EVENTS = {
    "check_messages": "reads",
    "check_queue": "reads",
    "check_runs": "reads",
    "connection_limit": "the sockets of a user",
    "deregister_subscriber": "releases a subscriber's pending entries; the takeover is an event",
    "end_outage": "the gate of n8n",
    "gateway_heartbeat": "a gateway's heartbeat",
    "heartbeat": "a worker's heartbeat",
    "pause": "a queue",
    "prune_workers": "the registries of workers",
    "rate_limit": "a rate",
    "read_bodies": "reads",
    "read_breakers": "reads",
    "read_summaries": "reads",
    "record_calls": "a breaker",
    "record_failure": "the state of a channel",
    "record_parts": "how a reply is cut, while it is being sent",
    "register_socket": "the sockets of a conversation",
    "report_outage": "the gate of n8n",
    "resolve_conversation": "the addresses of a customer",
    "sample_backlog": "reads",
    "take_permit": "the gate of n8n",
    "update_progress": "a percentage",
}
"""Scripts that record no event, and what they change instead."""


def test_every_script_that_changes_a_message_records_an_event() -> None:
    """Every script records an event, itself or through a library function, or changes no message."""
    root = Path(keys.__file__).parents[3]
    scripts = [*root.glob("msgctl/**/lua/*.lua"), *root.glob("daemons/**/lua/*.lua")]
    recording = re.compile(r"\b(record_event|dead_letter|quarantine_message)\(")
    without_events = {
        script.stem
        for script in scripts
        if not (text := script.read_text("utf-8")).startswith(LIBRARY) and not recording.search(text)
    }
    assert without_events == SCRIPTS_WITHOUT_EVENTS.keys()


async def test_repeated_message_has_one_event(traffic: Traffic, ledger: Ledger) -> None:
    """A message that is accepted once has one event."""
    await traffic.waiting("m")
    await traffic.waiting("m")
    assert await read_whats(ledger, "m") == ["accepted"]


async def test_no_event_contains_text_of_the_message(traffic: Traffic, redis: Any) -> None:
    """Neither the text of the customer nor that of the agent."""
    await traffic.completed("m", SECRET)
    entries = await redis.xrange(keys.EVENTS)
    assert entries
    assert SECRET not in str(entries)
    assert "hello" not in str(entries)


async def test_ledger_keeps_its_limit_and_counts_lost_events(
    redis: Any, settings: Settings, traffic: Traffic
) -> None:
    """Maintenance trims it, and events that PostgreSQL did not have are counted."""
    bounded = settings.model_copy(update={"events": settings.events.model_copy(update={"stream": 1000})})
    pipeline = redis.pipeline()
    for number in range(3000):
        pipeline.xadd(keys.EVENTS, {"id": f"m{number}", "what": "accepted", "by": "test"})
    await pipeline.execute()
    await LeaseClient(redis, bounded, "w1").maintain()
    length = await redis.xlen(keys.EVENTS)
    assert 1000 <= length < 1200
    assert int(await redis.get(keys.EVENTS_LOST)) == 3000 - length


def test_event_has_its_time_and_order() -> None:
    """Both are derived from the id of its entry."""
    event = Event.from_entry("1767225600123-7", {"id": "m", "what": "claimed", "by": "w", "run": "2", "code": ""})
    assert event.position == (1767225600123, 7)
    assert event.at.isoformat() == "2026-01-01T00:00:00.123000+00:00"
    assert event.evidence == {"run": "2"}


async def test_unreadable_external_response_has_no_event(redis: Any, queue: Queue) -> None:
    """An entry that is not a message records nothing."""
    assert parse_entry("1-0", {"kind": "response", "body": "{"}) is None
    assert await redis.xlen(keys.EVENTS) == 0
