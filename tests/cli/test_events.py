"""`msgctl events` and `msgctl message trace`: the ledger as a person and a script read it."""

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
    """A dead letter and a message that waits, known to PostgreSQL."""
    await traffic.failed("dead")
    await traffic.waiting("waits", conversation="c")
    async with Database(settings) as database:
        await Projector(redis, settings, database).project_batch()


async def test_trace_tells_the_story_and_what_to_do(projected: None, msgctl: Invoke) -> None:
    """A line an event with time and gap, then where it stopped and the command that mends it."""
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


async def test_trace_for_scripts(projected: None, msgctl: Invoke) -> None:
    """One document: every event with its evidence, and where each message stands."""
    result = await msgctl("message", "trace", "--conversation", "c", "-o", "json")
    told = result.json
    assert told["schema"] == "msgctl.trace/1"
    assert [(event["messageId"], event["what"]) for event in told["events"]] == [("waits", "accepted")]
    assert re.fullmatch(r"\d{4}-.*Z", told["events"][0]["at"])
    dead = (await msgctl("message", "trace", "dead", "-o", "json")).json["events"]
    assert [event["gapMs"] is None for event in dead] == [True, False, False, False]
    assert told["standings"][0]["advice"] == "No worker is alive. Start one: msgctl start worker"


async def test_following_a_message_that_is_over_ends(projected: None, msgctl: Invoke) -> None:
    """`--follow` returns once nothing more can happen."""
    result = await msgctl("message", "trace", "dead", "--follow")
    assert (result.code, result.stdout.count("buried")) == (0, 1)


async def test_a_message_nobody_knows(projected: None, msgctl: Invoke) -> None:
    """Exit 3; both or neither of id and conversation is a usage fault."""
    assert (await msgctl("message", "trace", "nobody")).code == 3
    assert (await msgctl("message", "trace")).code == 2
    assert (await msgctl("message", "trace", "m", "--conversation", "c")).code == 2


async def test_the_newest_events_are_listed(projected: None, msgctl: Invoke) -> None:
    """Oldest first, in every shape."""
    result = await msgctl("events", "list", "--limit", "2", "-o", "json")
    assert [(item["messageId"], item["what"]) for item in result.json["items"]] == [
        ("dead", "buried"),
        ("waits", "accepted"),
    ]
    lines = (await msgctl("events", "list", "-o", "jsonl")).lines
    assert {json.loads(line)["schema"] for line in lines} == {"msgctl.event/1"}
    assert "buried" in (await msgctl("events", "list")).stdout


async def test_rebuild_is_silent_where_all_is_well_and_fails_where_not(
    projected: None, msgctl: Invoke, redis: Any
) -> None:
    """Exit 0 without a difference, exit 4 and the message's name with one."""
    sound = await msgctl("events", "rebuild", "--dry-run", "-o", "json")
    assert (sound.code, sound.json["items"], sound.json["compared"]) == (0, [], 2)
    await redis.delete(keys.job_key("waits"))
    broken = await msgctl("events", "rebuild", "--dry-run", "-o", "json")
    assert broken.code == 4
    assert broken.json["items"][0]["messageId"] == "waits"


async def test_restore_feeds_an_empty_redis(projected: None, msgctl: Invoke, redis: Any) -> None:
    """First only told, then done; a dead letter does not come back to life."""
    await redis.flushdb()
    dry = await msgctl("events", "restore", "--dry-run", "-o", "json")
    assert [item["outcome"] for item in dry.json["items"]] == ["would_restore"]
    assert not await redis.exists(keys.job_key("waits"))
    done = await msgctl("events", "restore", "--yes", "-o", "json")
    assert [(item["messageId"], item["outcome"]) for item in done.json["items"]] == [("waits", "restored")]
    assert await redis.lrange(keys.RQ_QUEUE + "messages:5", 0, -1) == ["waits"]
