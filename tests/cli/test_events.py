"""`msgctl events` and `msgctl message trace`: the ledger, for people and for scripts."""

import json
import re
from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.ledger.projector import Projector
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic


@pytest.fixture
async def projected(traffic: Traffic, redis: RedisClient, settings: Settings) -> None:
    """Create a dead letter and a waiting message, and copy their events to PostgreSQL."""
    await traffic.failed("dead")
    await traffic.waiting("waits", conversation="c")
    async with Database(settings) as database:
        await Projector(redis, settings, database).project_batch()


async def test_trace_prints_events_and_advice(projected: None, msgctl: Invoke) -> None:
    """Each event has a line with its time and gap. The end says where the message is and what to do."""
    result = await msgctl("message", "trace", "dead")
    assert result.code == 0
    day, *lines = result.lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, times in UTC", day)
    found = [re.match(r"\d\d:\d\d:\d\d\.\d{3}  (?: {9}| *\+\d+ ms)  (\w+)", line) for line in lines]
    assert [one[1] for one in found if one] == ["accepted", "claimed", "failed", "buried"]
    assert "code=n8n_rejected" in result.stdout
    assert "→ It is a dead letter." in " ".join(lines)
    assert "msgctl dlq replay dead" in " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 80


async def test_trace_json_contains_events_and_diagnoses(projected: None, msgctl: Invoke) -> None:
    """One document has each event with its evidence, and where each message is."""
    result = await msgctl("message", "trace", "--conversation", "c", "-o", "json")
    document = result.json
    assert document["schema"] == "msgctl.trace/1"
    assert [(event["messageId"], event["what"]) for event in document["events"]] == [("waits", "accepted")]
    assert re.fullmatch(r"\d{4}-.*Z", document["events"][0]["at"])
    dead = (await msgctl("message", "trace", "dead", "-o", "json")).json["events"]
    assert [event["gapMs"] is None for event in dead] == [True, False, False, False]
    assert document["standings"][0]["advice"] == "No worker is alive. Start one: msgctl start worker"


async def test_trace_follow_returns_for_ended_message(projected: None, msgctl: Invoke) -> None:
    """No further event can follow."""
    result = await msgctl("message", "trace", "dead", "--follow")
    assert (result.code, result.stdout.count("buried")) == (0, 1)


async def test_trace_of_unknown_message_exits_3(projected: None, msgctl: Invoke) -> None:
    """Both or neither of id and conversation is a usage error."""
    assert (await msgctl("message", "trace", "nobody")).code == 3
    assert (await msgctl("message", "trace")).code == 2
    assert (await msgctl("message", "trace", "m", "--conversation", "c")).code == 2


async def test_events_list_prints_newest_oldest_first(projected: None, msgctl: Invoke) -> None:
    """In each output format."""
    result = await msgctl("events", "list", "--limit", "2", "-o", "json")
    assert [(item["messageId"], item["what"]) for item in result.json["items"]] == [
        ("dead", "buried"),
        ("waits", "accepted"),
    ]
    lines = (await msgctl("events", "list", "-o", "jsonl")).lines
    assert {json.loads(line)["schema"] for line in lines} == {"msgctl.event/1"}
    assert "buried" in (await msgctl("events", "list")).stdout


async def test_rebuild_exits_4_for_a_difference(projected: None, msgctl: Invoke, redis: Any) -> None:
    """Without a difference it exits with 0."""
    sound = await msgctl("events", "rebuild", "--dry-run", "-o", "json")
    assert (sound.code, sound.json["items"], sound.json["compared"]) == (0, [], 2)
    await redis.delete(keys.job_key("waits"))
    broken = await msgctl("events", "rebuild", "--dry-run", "-o", "json")
    assert broken.code == 4
    assert broken.json["items"][0]["messageId"] == "waits"


async def test_restore_accepts_unfinished_messages_again(projected: None, msgctl: Invoke, redis: Any) -> None:
    """A dry run only lists them. Dead letters are not restored."""
    await redis.flushdb()
    dry = await msgctl("events", "restore", "--dry-run", "-o", "json")
    assert [item["outcome"] for item in dry.json["items"]] == ["would_restore"]
    assert not await redis.exists(keys.job_key("waits"))
    done = await msgctl("events", "restore", "--yes", "-o", "json")
    assert [(item["messageId"], item["outcome"]) for item in done.json["items"]] == [("waits", "restored")]
    assert await redis.lrange(keys.RQ_QUEUE + "messages:5", 0, -1) == ["waits"]
