"""`msgctl queue` and `msgctl worker`."""

import pytest

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic

COUNTS = {"waiting": 0, "active": 0, "completed": 1, "failed": 2, "delayed": 0, "paused": 0, "total": 3}


@pytest.mark.parametrize("command", [("queue", "stats"), ("stats",)])
async def test_stats_prints_counts_by_state(msgctl: Invoke, traffic: Traffic, command: tuple[str, ...]) -> None:
    """As JSON, and as one line for each count."""
    await traffic.completed("m1")
    await traffic.failed("m2", "m3")
    outcome = await msgctl(*command, "-o", "json")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.json == {"schema": "msgctl.stats/1", **COUNTS}
    table = await msgctl(*command)
    assert [tuple(line.split()) for line in table.lines] == [(name, str(n)) for name, n in COUNTS.items()]


@pytest.mark.parametrize("command", [("queue", "health"), ("health",)])
async def test_health_exits_4_if_unhealthy(msgctl: Invoke, traffic: Traffic, command: tuple[str, ...]) -> None:
    """The output has each reason. A healthy pipeline exits with 0."""
    outcome = await msgctl(*command, "-o", "json")
    assert (outcome.code, outcome.json["healthy"]) == (4, False)
    assert [reason["code"] for reason in outcome.json["reasons"]] == ["no_worker", "no_subscriber"]
    assert "msgctl start worker" in (await msgctl(*command)).stderr
    await traffic.staffed()
    outcome = await msgctl(*command, "-o", "json")
    assert (outcome.code, outcome.json["healthy"], outcome.json["reasons"]) == (0, True, [])


async def test_health_without_redis_prints_json(msgctl: Invoke) -> None:
    """The exit code is 69."""
    outcome = await msgctl("queue", "health", "-o", "json", environ={"MSGCTL_REDIS_PORT": "1"})
    assert (outcome.code, outcome.json["healthy"], outcome.json["stats"]) == (69, False, None)
    assert [reason["code"] for reason in outcome.json["reasons"]] == ["redis_unavailable"]


CLEAN = ("queue", "clean", "--state", "completed", "--older-than")


async def test_clean_deletes_only_with_yes(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """A dry run and an unconfirmed run delete nothing. `--yes` deletes only old messages."""
    await traffic.completed("old")
    await traffic.completed("new")
    aged = str((await redis.time())[0] * 1000 - 8 * 86_400_000)
    await redis.hset(keys.job_key("old"), keys.FIELD_FINISHED, aged)
    dry = await msgctl(*CLEAN, "7d", "--dry-run", "-o", "json")
    assert (dry.code, dry.json["matched"], dry.json["removed"]) == (0, 1, 0)
    unconfirmed = await msgctl(*CLEAN, "7d")
    assert (unconfirmed.code, unconfirmed.stdout) == (6, "")
    assert "1 completed message" in unconfirmed.stderr
    assert "--yes" in unconfirmed.stderr
    assert (await traffic.queue.stats()).completed == 2
    done = await msgctl(*CLEAN, "7d", "--yes", "-o", "json")
    assert (done.code, done.json["removed"]) == (0, 1)
    assert await traffic.queue.find("old") is None
    assert await traffic.queue.find("new") is not None


async def test_clean_without_match_exits_5(msgctl: Invoke, traffic: Traffic) -> None:
    """The query is valid, but no message is old enough."""
    await traffic.completed("new")
    assert (await msgctl(*CLEAN, "7d", "--yes")).code == 5


@pytest.mark.parametrize(
    "arguments", [["--state", "waiting", "--older-than", "7d"], ["--state", "failed", "--older-than", "7x"]]
)
async def test_clean_refuses_unfinished_states_and_bad_durations(msgctl: Invoke, arguments: list[str]) -> None:
    """The exit code is 2."""
    outcome = await msgctl("queue", "clean", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")


async def test_worker_list_prints_live_workers(msgctl: Invoke, traffic: Traffic) -> None:
    """With the messages that each runs."""
    empty = await msgctl("worker", "list", "-o", "json")
    assert empty.json == {"schema": "msgctl.workers/1", "items": []}
    await traffic.claims.heartbeat([], "busy")
    await traffic.active("m")
    (worker,) = (await msgctl("worker", "list", "-o", "json")).json["items"]
    assert (worker["name"], worker["state"], worker["running"]) == ("w1", "busy", ["m"])
    assert (await msgctl("worker", "list", "-o", "ids")).stdout == "w1\n"
    assert "w1" in (await msgctl("worker", "list")).stdout


async def test_message_list_notes_paused_messages(msgctl: Invoke, traffic: Traffic) -> None:
    """The note appears only while a waiting message is in a paused queue."""
    await traffic.waiting("m1")
    assert "paused queue" not in (await msgctl("message", "list")).stderr
    await msgctl("queue", "pause", "--priority", "5")
    assert "1 waiting message is in a paused queue" in (await msgctl("message", "list")).stderr
    assert "paused" not in (await msgctl("message", "list", "-o", "json")).stderr
