"""The diagnosis of a message: where it stopped and what to do, for each way in which it can stop."""

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.retry import RetryLater
from msgctl.ledger.event import Event
from msgctl.operations.context import Context
from msgctl.operations.messages.diagnosis import (
    CAUSE_BY_CODE,
    DIAGNOSIS_BY_EVENT,
    NEUTRAL_EVENTS,
    Diagnosis,
    diagnose,
)
from msgctl.operations.messages.trace import MessageTracer
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import ERROR, Traffic, failure, traffic

__all__ = ["traffic"]

Diagnose = Callable[[str], Coroutine[Any, Any, Diagnosis]]


def make_events(*whats: str, **evidence: str) -> list[Event]:
    """Return the events of a message. The last one has the evidence."""
    events = [
        Event(entry=f"{number}-0", message_id="m", what=what, actor="t") for number, what in enumerate(whats)
    ]
    return [*events[:-1], Event(entry="99-0", message_id="m", what=whats[-1], actor="t", evidence=evidence)]


@pytest.fixture
def diagnose_stored(settings: Settings, redis: RedisClient) -> Diagnose:
    """Diagnose a message by the real ledger and the real queue."""

    async def run(message_id: str) -> Diagnosis:
        trace = await MessageTracer(Context(settings, redis, Queue(redis, settings))).trace(message_id=message_id)
        return next(diagnosis for diagnosis in trace.standings if diagnosis.message_id == message_id)

    return run


@pytest.fixture
async def staffed(traffic: Traffic, settings: Settings) -> Traffic:
    """A pipeline with a worker, a subscriber, and an agent."""
    async with Agents(settings) as agents:
        traffic.agent_id = (await agents.add(user_id="ana", name="Ana", webhook_path="chat")).id
    await traffic.staffed()
    return traffic


def test_diagnosis_has_a_sentence_for_every_event_of_every_script() -> None:
    """A diagnosis never shows the code of an event in place of a sentence."""
    recorded = {"sent", "delivery_failed", "unknown"}  # finish_attempt derives these from the state of a delivery
    for script in Path(keys.__file__).parents[2].rglob("*.lua"):
        for what in re.findall(r"\brecord_event\([\w.(\[\])]+, ([^,]+),?", script.read_text("utf-8")):
            recorded |= set(re.findall(r"(?<!== )'([a-z_]+)'", what))
    assert recorded == set(DIAGNOSIS_BY_EVENT) | NEUTRAL_EVENTS


async def test_waiting_message_names_what_is_ahead_of_it(staffed: Traffic, diagnose_stored: Diagnose) -> None:
    """In its conversation it names the head. In its queue it names the number of messages."""
    for name in ("first", "second"):
        await staffed.waiting(name, conversation="c")
    assert "It waits behind first, the head of its conversation." in (await diagnose_stored("second")).sentence
    await staffed.waiting("third")
    assert (await diagnose_stored("third")).sentence == "1 message is ahead of it."


async def test_message_in_a_paused_queue_names_the_resume_command(
    staffed: Traffic, diagnose_stored: Diagnose
) -> None:
    """The command names the priority."""
    await staffed.waiting("m")
    await staffed.queue.pause(["messages:5"])
    assert "msgctl queue resume --priority 5" in (await diagnose_stored("m")).sentence


async def test_message_without_a_worker_says_how_to_start_one(traffic: Traffic, diagnose_stored: Diagnose) -> None:
    """The advice is the same if the worker of the message has died."""
    await traffic.waiting("m")
    assert (await diagnose_stored("m")).advice == "No worker is alive. Start one: msgctl start worker"
    await LeaseClient(traffic.queue._redis, traffic.queue._settings, "w9").claim(1)
    assert (await diagnose_stored("m")).advice == "No worker is alive. Start one: msgctl start worker"


async def test_open_breaker_is_named(staffed: Traffic, diagnose_stored: Diagnose, redis: Any) -> None:
    """The sentence names the workflow and how long it is not called."""
    await staffed.waiting("m")
    await redis.hset(keys.BREAKERS, "chat", f"{2**42} 5")
    assert "The workflow chat keeps failing and is not called" in (await diagnose_stored("m")).sentence


async def test_delayed_message_names_error_time_and_cause(staffed: Traffic, diagnose_stored: Diagnose) -> None:
    """The sentence has the error and the time of the next attempt, and the advice has the cause."""
    claimed = await staffed.active("m")
    assert await staffed.claims.fail(
        claimed,
        RetryLater(60.0, counts_as_attempt=True),
        error=ERROR,
        record=ERROR,
        failure=failure(claimed),
        fault="transient",
    )
    diagnosis = await diagnose_stored("m")
    assert "n8n_rejected: n8n answered 400. It is tried again in" in diagnosis.sentence
    assert diagnosis.advice == CAUSE_BY_CODE["n8n_rejected"]


async def test_dead_letter_names_cause_and_replay_command(staffed: Traffic, diagnose_stored: Diagnose) -> None:
    """The cause follows from the code of the error, and the message has ended."""
    await staffed.failed("m")
    diagnosis = await diagnose_stored("m")
    assert (diagnosis.over, diagnosis.well) == (True, False)
    assert diagnosis.advice == f"{CAUSE_BY_CODE['n8n_rejected']} Fix the cause, then: msgctl dlq replay m"


async def test_message_whose_record_was_deleted_has_vanished(
    staffed: Traffic, diagnose_stored: Diagnose, redis: Any
) -> None:
    """Its conversation continues with the next message, and the ledger says that the record is gone."""
    for name in ("first", "second", "third"):
        await staffed.waiting(name, conversation="c")
    (claimed,) = await staffed.claims.claim(1)
    await redis.delete(keys.job_key("second"))
    await staffed.fail(claimed)
    diagnosis = await diagnose_stored("second")
    assert (diagnosis.what, diagnosis.over) == ("vanished", True)
    assert "msgctl events restore" in diagnosis.advice


async def test_reply_without_a_subscriber_says_how_to_start_one(
    traffic: Traffic, diagnose_stored: Diagnose
) -> None:
    """The message is answered, and no subscriber delivers the reply."""
    await traffic.completed("m")
    assert (await diagnose_stored("m")).advice == "No subscriber is alive. Start one: msgctl start subscriber"


async def test_retained_reply_is_no_trouble(
    staffed: Traffic, diagnose_stored: Diagnose, redis: RedisClient, settings: Settings
) -> None:
    """The reply waits for the customer to come back."""
    await staffed.completed("m")
    stream = ResponseStream(redis, settings, "s1")
    await stream.ensure_group()
    await stream.read()  # the first read returns pending entries, of which there are none
    await WebRouter(redis, settings).route(await stream.read())
    await stream.close()
    diagnosis = await diagnose_stored("m")
    assert (diagnosis.over, diagnosis.well) == (True, True)
    assert "waits for the customer to come back" in diagnosis.sentence


@pytest.mark.parametrize(
    ("events", "evidence", "over", "part"),
    [
        (("committed", "channel_closed"), {"channel": "telegram"}, False, "msgctl channel resume telegram"),
        (("committed", "paced"), {}, False, "waits for earlier replies"),
        (("sending", "postponed"), {"code": "provider_unreachable"}, False, "Its provider cannot be reached."),
        (("sending", "unknown"), {"code": "x", "again_ms": "0"}, False, "sent again"),
        (("sending", "unknown"), {"code": "x"}, True, "msgctl delivery retry m"),
        (("sending", "delivery_failed"), {"code": "window_closed"}, True, "24 hours"),
        (("sending", "delivery_failed"), {"code": "telegram_403"}, True, "msgctl delivery retry m"),
        (("sending", "sent", "receipt"), {"status": "read"}, True, "The provider says: read."),
        (("claimed", "failed", "buried"), {"code": "agent_gone"}, True, "msgctl agent list"),
        (("claimed", "failed", "buried"), {"code": "worker_crashed"}, True, "It crashed its workers"),
        (("accepted", "parked"), {"code": "unworkable"}, True, "msgctl verify"),
        (("claimed", "crashed"), {}, False, "msgctl logs --message m"),
    ],
)
def test_diagnosis_says_where_a_message_stopped_and_what_to_do(
    events: tuple[str, ...], evidence: dict[str, str], part: str, *, over: bool
) -> None:
    """The cases are held, unknown, and failed deliveries, receipts, parked messages, and lost workers."""
    diagnosis = diagnose(make_events(*events, **evidence), ())
    assert part in f"{diagnosis.sentence} {diagnosis.advice}"
    assert diagnosis.over == over


def test_neutral_event_does_not_change_the_diagnosis() -> None:
    """A receipt or an edit after the end leaves a message where it was."""
    for neutral in NEUTRAL_EVENTS:
        assert diagnose(make_events("told", neutral), ()).what == "told"
