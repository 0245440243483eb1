"""Where a message stopped and what to do, for each way in which it can stop."""

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

Where = Callable[[str], Coroutine[Any, Any, Diagnosis]]


def tell(*whats: str, **evidence: str) -> list[Event]:
    """A story whose last event carries evidence."""
    events = [
        Event(entry=f"{number}-0", message_id="m", what=what, actor="t") for number, what in enumerate(whats)
    ]
    return [*events[:-1], Event(entry="99-0", message_id="m", what=whats[-1], actor="t", evidence=evidence)]


@pytest.fixture
def where(settings: Settings, redis: RedisClient) -> Where:
    """Where a message stands, by the real ledger and the real queue."""

    async def look(message_id: str) -> Diagnosis:
        story = await MessageTracer(Context(settings, redis, Queue(redis, settings))).trace(message_id=message_id)
        return next(one for one in story.standings if one.message_id == message_id)

    return look


@pytest.fixture
async def staffed(traffic: Traffic, settings: Settings) -> Traffic:
    """A pipeline with a worker and a subscriber, and an agent who exists."""
    async with Agents(settings) as agents:
        traffic.agent_id = (await agents.add(user_id="ana", name="Ana", webhook_path="chat")).id
    await traffic.staffed()
    return traffic


def test_every_event_of_every_script_has_a_sentence() -> None:
    """Whatever the last event is, the story ends in words and not in a code."""
    noted = {"sent", "delivery_failed", "unknown"}  # by the state of a delivery that is settled
    for script in Path(keys.__file__).parents[2].rglob("*.lua"):
        for what in re.findall(r"\brecord_event\([\w.(\[\])]+, ([^,]+),?", script.read_text("utf-8")):
            noted |= set(re.findall(r"(?<!== )'([a-z_]+)'", what))
    assert noted == set(DIAGNOSIS_BY_EVENT) | NEUTRAL_EVENTS


async def test_it_waits_behind_others(staffed: Traffic, where: Where) -> None:
    """Of its conversation, whose head is named; or of its queue, of whom the number is told."""
    for name in ("first", "second"):
        await staffed.waiting(name, conversation="c")
    assert "It waits behind first, the head of its conversation." in (await where("second")).sentence
    await staffed.waiting("third")
    assert (await where("third")).sentence == "1 message is ahead of it."


async def test_its_queue_is_paused(staffed: Traffic, where: Where) -> None:
    """The command that lets it go is named."""
    await staffed.waiting("m")
    await staffed.queue.pause(["messages:5"])
    assert "msgctl queue resume --priority 5" in (await where("m")).sentence


async def test_no_worker_lives(traffic: Traffic, where: Where) -> None:
    """Nor will one be there by itself; also where its worker has died under it."""
    await traffic.waiting("m")
    assert (await where("m")).advice == "No worker is alive. Start one: msgctl start worker"
    await LeaseClient(traffic.queue._redis, traffic.queue._settings, "w9").claim(1)
    assert (await where("m")).advice == "No worker is alive. Start one: msgctl start worker"


async def test_the_breaker_of_its_workflow_is_open(staffed: Traffic, where: Where, redis: Any) -> None:
    """Which workflow, and for how long it is left alone."""
    await staffed.waiting("m")
    await redis.hset(keys.BREAKERS, "chat", f"{2**42} 5")
    assert "The workflow chat keeps failing and is not called" in (await where("m")).sentence


async def test_it_pauses_before_its_next_attempt(staffed: Traffic, where: Where) -> None:
    """What failed, when it is tried again, and what the code means."""
    claimed = await staffed.active("m")
    assert await staffed.claims.fail(
        claimed,
        RetryLater(60.0, counts_as_attempt=True),
        error=ERROR,
        record=ERROR,
        failure=failure(claimed),
        fault="transient",
    )
    standing = await where("m")
    assert "n8n_rejected: n8n answered 400. It is tried again in" in standing.sentence
    assert standing.advice == CAUSE_BY_CODE["n8n_rejected"]


async def test_it_is_a_dead_letter(staffed: Traffic, where: Where) -> None:
    """The cause by its code, and the command that puts it back to work; it is over."""
    await staffed.failed("m")
    standing = await where("m")
    assert (standing.over, standing.well) == (True, False)
    assert standing.advice == f"{CAUSE_BY_CODE['n8n_rejected']} Mend the cause, then: msgctl dlq replay m"


async def test_its_record_was_deleted_under_it(staffed: Traffic, where: Where, redis: Any) -> None:
    """The next one of its conversation goes on, and of the one that is gone the ledger says so."""
    for name in ("first", "second", "third"):
        await staffed.waiting(name, conversation="c")
    (claimed,) = await staffed.claims.claim(1)
    await redis.delete(keys.job_key("second"))
    await staffed.fail(claimed)
    standing = await where("second")
    assert (standing.what, standing.over) == ("vanished", True)
    assert "msgctl events restore" in standing.advice


async def test_nobody_delivers(traffic: Traffic, where: Where) -> None:
    """Answered, and no subscriber is there to take it on."""
    await traffic.completed("m")
    assert (await where("m")).advice == "No subscriber is alive. Start one: msgctl start subscriber"


async def test_its_socket_is_gone(staffed: Traffic, where: Where, redis: RedisClient, settings: Settings) -> None:
    """That is no trouble: the reply waits for the customer to come back."""
    await staffed.completed("m")
    stream = ResponseStream(redis, settings, "s1")
    await stream.ensure_group()
    await stream.read()  # what is pending here comes first, and there is nothing
    await WebRouter(redis, settings).route(await stream.read())
    await stream.close()
    standing = await where("m")
    assert (standing.over, standing.well) == (True, True)
    assert "waits for the customer to come back" in standing.sentence


@pytest.mark.parametrize(
    ("story", "evidence", "over", "words"),
    [
        (("committed", "channel_closed"), {"channel": "telegram"}, False, "msgctl channel resume telegram"),
        (("committed", "paced"), {}, False, "waits for its turn"),
        (("sending", "postponed"), {"code": "provider_unreachable"}, False, "Its provider cannot be reached."),
        (("sending", "unknown"), {"code": "x", "again_ms": "0"}, False, "sent once more"),
        (("sending", "unknown"), {"code": "x"}, True, "msgctl delivery retry m"),
        (("sending", "delivery_failed"), {"code": "window_closed"}, True, "24 hours"),
        (("sending", "delivery_failed"), {"code": "telegram_403"}, True, "msgctl delivery retry m"),
        (("sending", "sent", "receipt"), {"status": "read"}, True, "The provider says: read."),
        (("claimed", "failed", "buried"), {"code": "agent_gone"}, True, "msgctl agent list"),
        (("claimed", "failed", "buried"), {"code": "worker_crashed"}, True, "It killed its workers"),
        (("accepted", "parked"), {"code": "unworkable"}, True, "msgctl verify"),
        (("claimed", "crashed"), {}, False, "msgctl logs --message m"),
    ],
)
def test_each_other_end(story: tuple[str, ...], evidence: dict[str, str], words: str, *, over: bool) -> None:
    """A held, doubtful, failed or told delivery, a parked message, a lost worker: words, and what to do."""
    standing = diagnose(tell(*story, **evidence), ())
    assert words in f"{standing.sentence} {standing.advice}"
    assert standing.over == over


def test_remarks_move_nothing() -> None:
    """A receipt or an edition after the end leaves a message where it was."""
    for remark in NEUTRAL_EVENTS:
        assert diagnose(tell("told", remark), ()).what == "told"
