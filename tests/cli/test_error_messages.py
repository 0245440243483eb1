"""Errors that say what to do, dry runs, durations, and `--yes`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.operations.messages.query import parse_query
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke, Outcome, started
from tests.support.messages import Traffic, commit
from tests.support.secret_scan import CALLBACK_SECRET
from tools.support.daemons import PATIENCE, Daemon, until

UNKNOWN = "5f0c7c1e-0000-4000-8000-000000000000"


def outcomes_by_id(outcome: Outcome) -> dict[str, str]:
    """Return the outcome of each message."""
    return {item["messageId"]: item["outcome"] for item in outcome.json["items"]}


async def test_cancel_dry_run_predicts_outcomes(msgctl: Invoke, traffic: Traffic) -> None:
    """It reports ended and missing messages as the real run does."""
    await traffic.completed("done")
    await traffic.failed("dead")
    await traffic.waiting("waits")
    names = ("done", "dead", "waits", "gone")
    dry = await msgctl("message", "cancel", *names, "--dry-run", "-o", "json")
    assert dry.code == 0
    expected = {"done": "completed", "dead": "failed", "waits": "would_cancel", "gone": "missing"}
    assert outcomes_by_id(dry) == expected
    done = await msgctl("message", "cancel", *names, "-o", "json")
    assert (done.code, outcomes_by_id(done)) == (4, expected | {"waits": "cancelled"})


async def test_drop_dry_run_predicts_outcomes(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """It keeps messages that are no dead letters, and those whose sender is not notified yet."""
    await traffic.completed("done")
    await traffic.failed("dead", "unnotified")
    await redis.zadd(keys.POSTPONED, {"unnotified": 2**52})
    names = ("done", "dead", "unnotified", "gone")
    dry = await msgctl("dlq", "drop", *names, "--dry-run", "-o", "json")
    assert dry.code == 0
    expected = {"done": "kept", "dead": "would_drop", "unnotified": "kept", "gone": "missing"}
    assert outcomes_by_id(dry) == expected
    done = await msgctl("dlq", "drop", *names, "--yes", "-o", "json")
    assert (done.code, outcomes_by_id(done)) == (4, expected | {"dead": "dropped"})


async def test_delivery_dry_run_changes_nothing(msgctl: Invoke, redis: RedisClient) -> None:
    """It reports the outcomes that the real run would have."""
    record: Any = {"state": "FAILED", "channel": "telegram", "body": "{}", "endedAt": 1, "code": "telegram_403"}
    await redis.hset(keys.DELIVERY + "m1", mapping=record)
    retry = await msgctl("delivery", "retry", "m1", "gone", "--dry-run", "-o", "json")
    assert (retry.code, outcomes_by_id(retry)) == (0, {"m1": "would_retry", "gone": "missing"})
    drop = await msgctl("delivery", "drop", "m1", "--dry-run", "-o", "json")
    assert (drop.code, outcomes_by_id(drop)) == (0, {"m1": "failed"})
    assert await redis.hgetall(keys.DELIVERY + "m1") == {name: str(value) for name, value in record.items()}
    assert await redis.zcard(keys.POSTPONED) == 0


async def test_replay_dry_run_prints_summary(msgctl: Invoke, traffic: Traffic, tmp_path: Path) -> None:
    """A saved plan without skipped messages prints no table."""
    await traffic.failed("m1", "m2")
    dry = await msgctl("dlq", "replay", "--all", "--dry-run")
    assert dry.stderr.splitlines()[-1] == "2 would be replayed; nothing was done."
    (group,) = (await msgctl("dlq", "groups", "-o", "ids")).lines
    saved = await msgctl("dlq", "replay", "--group", group, "--save", "plan.json")
    (line,) = saved.stderr.splitlines()
    assert line.startswith("2 to replay, 0 to skip.")
    assert json.loads((tmp_path / "plan.json").read_text())["replay"] == ["m1", "m2"]


async def test_replay_reports_passed_canary(traffic: Traffic, settings: Settings, tmp_path: Path) -> None:
    """The note comes before the rest is replayed."""
    await traffic.failed("m1", "m2", "m3")
    words = ("dlq", "replay", "--all", "--yes", "--canary", "1")
    async with started(settings, *words, folder=tmp_path) as process:

        async def waits() -> bool:
            return (await traffic.queue.stats()).waiting == 1

        await until(waits, "the canary to wait")
        (claimed,) = await traffic.claims.claim(1)
        assert await commit(traffic.claims, claimed, "fine")
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    assert "The canary passed: 1 of 1 answered. The other 2 follow." in stderr.decode()


async def test_show_includes_reply_of_completed_message(
    msgctl: Invoke, traffic: Traffic, redis: RedisClient
) -> None:
    """The table says so if the reply is no longer kept."""
    await traffic.completed("m1", "I am\nwell.")
    await traffic.waiting("m2")
    for command in (("status",), ("message", "show")):
        assert (await msgctl(*command, "m1", "-o", "json")).json["reply"] == "I am\nwell."
    assert any(line.split() == ["reply", "I", "am", "well."] for line in (await msgctl("status", "m1")).lines)
    assert (await msgctl("status", "m2", "-o", "json")).json["reply"] is None
    assert "reply" not in (await msgctl("status", "m2")).stdout
    await redis.delete(keys.REPLIES + "of-m1")
    assert (await msgctl("status", "m1", "-o", "json")).json["reply"] is None
    table = (await msgctl("status", "m1")).lines
    assert any(line.split() == ["reply", "no", "longer", "kept"] for line in table)


async def test_groups_separate_http_statuses(msgctl: Invoke, traffic: Traffic) -> None:
    """404 and 500 are two groups. Other numbers are folded to N."""
    for name, status in (("m1", 404), ("m2", 500), ("m3", 500)):
        text = f"n8n answered HTTP {status}: after {name[1]} ms."
        error = json.dumps({"class": "final", "code": "n8n_rejected", "text": text, "at": "2026-01-01T00:00:01Z"})
        await traffic.fail(await traffic.active(name), error.encode())
    found = (await msgctl("dlq", "groups", "-o", "json")).json["items"]
    assert [(group["signature"], group["count"]) for group in found] == [
        ("n8n_rejected: n8n answered HTTP 500: after N ms.", 2),
        ("n8n_rejected: n8n answered HTTP 404: after N ms.", 1),
    ]


async def test_failed_send_prints_one_full_stop(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """The error text already ends with a full stop."""
    sending = asyncio.create_task(msgctl("message", "send", "hello", "--agent", agent_id, "--wait"))

    async def waits() -> bool:
        return (await traffic.queue.stats()).waiting > 0

    await until(waits, "the message to wait")
    (claimed,) = await traffic.claims.claim(1)
    await traffic.fail(claimed)
    stderr = (await sending).stderr
    assert "n8n answered 400. See: msgctl status" in stderr


@pytest.mark.parametrize("words", [("dlq", "list", "--since", "60"), ("message", "list", "--until", "0.5")])
async def test_duration_option_reads_bare_number_as_seconds(msgctl: Invoke, *, words: tuple[str, ...]) -> None:
    """`--since 60` means one minute."""
    assert (await msgctl(*words)).code == 0


def test_dashboard_filter_reads_bare_number_as_seconds() -> None:
    """It follows the rule of the command line."""
    assert parse_query("since:60").since == parse_query("since:1m").since == 60


async def test_via_api_with_user_needs_no_postgres(msgctl: Invoke, agent_id: str) -> None:
    """The only error is that no gateway answers."""
    words = ("message", "send", "hi", "--agent", agent_id, "--user", "ana", "--via-api")
    outcome = await msgctl(*words, environ={"MSGCTL_POSTGRES_URL": "postgresql://127.0.0.1:1/none"})
    assert (outcome.code, "The gateway at" in outcome.stderr) == (69, True)


async def test_worker_drain_timeout_accepts_duration(msgctl: Invoke, traffic: Traffic) -> None:
    """With a unit, or as a bare number."""
    await traffic.staffed()
    assert (await msgctl("worker", "drain", "--all", "--wait", "--timeout", "1m")).code == 0
    assert (await msgctl("worker", "drain", "--all", "--wait", "--timeout", "5")).code == 0


async def test_send_accepts_unique_agent_name(
    msgctl: Invoke, traffic: Traffic, agent_id: str, settings: Settings
) -> None:
    """A name that no agent or several agents have is refused."""
    assert (await msgctl("message", "send", "hello", "--agent", "Support", "--id", "m")).code == 0
    job = await traffic.queue.find("m")
    assert job is not None
    assert job.message.agent_id == agent_id
    nobody = await msgctl("message", "send", "hello", "--agent", "Nobody")
    assert (nobody.code, "msgctl agent list" in nobody.stderr) == (3, True)
    async with Agents(settings) as store:
        await store.add(user_id="bia", name="Support", webhook_path="chat")
    twice = await msgctl("message", "send", "hello", "--agent", "Support")
    assert (twice.code, "2 agents" in twice.stderr, "msgctl agent list" in twice.stderr) == (2, True, True)
    assert (await msgctl("message", "send", "hello", "--agent", "Support", "--user", "ana")).code == 0


async def test_agent_add_notes_same_name(msgctl: Invoke, agent_id: str) -> None:
    """The agent is added, and standard output has only its id."""
    second = await msgctl("agent", "add", "--user", "ana", "--name", "Support", "--webhook", "chat")
    assert (second.code, len(second.lines)) == (0, 1)
    assert f"already has an agent of this name: {agent_id}" in second.stderr
    other = await msgctl("agent", "add", "--user", "bia", "--name", "Support", "--webhook", "chat")
    assert (other.code, other.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        ("message send hi", 2, ["--agent", "msgctl agent list"]),
        ("message send hi --user ana", 2, ["--agent", "msgctl agent list"]),
        ("message send --agent AGENT", 2, ["text", "--from"]),
        (f"message send hi --agent {UNKNOWN}", 3, ["msgctl agent list"]),
        ("message send hi --agent AGENT --user bia", 3, ["bia", "msgctl agent list"]),
        ("status 0b9e7c2e", 3, ["0b9e7c2e", "whole", "msgctl message list"]),
        ("message why 0b9e7c2e", 3, ["0b9e7c2e", "whole"]),
        ("message cancel 0b9e7c2e", 3, ["0b9e7c2e", "whole"]),
        ("dlq show 0b9e7c2e", 3, ["0b9e7c2e", "whole"]),
        ("dlq edit 0b9e7c2e --text x", 3, ["0b9e7c2e", "whole"]),
        ("delivery show nope", 3, ["no delivery", "nope"]),
        ("message cancel --user nobody", 5, ["Nothing matches"]),
        ("logs --directory . --message nope", 5, ["No line matches"]),
        ("assert failed=0", 2, ["failed==0"]),
        ("delivery list --state foo", 2, ["foo", "SENDING"]),
        ("channel test whatsapp", 2, ["--to +"]),
        ("channel test api", 2, ["--to https://"]),
        ("channel test telegram", 2, ["--to 1"]),
        ("smoke --agent AGENT", 2, ["msgctl token issue --user"]),
        ("smoke --token x", 2, ["msgctl agent list"]),
    ],
)
async def test_error_names_next_step(
    msgctl: Invoke, agent_id: str, tmp_path: Path, *, words: str, code: int, parts: list[str]
) -> None:
    """The last line contains what was given and what to do."""
    (tmp_path / "combined.log").write_text("nothing\n")
    outcome = await msgctl(*words.replace("AGENT", agent_id).split())
    assert (outcome.code, outcome.stdout) == (code, "")
    line = outcome.stderr.splitlines()[-1]
    assert line.startswith("msgctl: ")
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("message list --state delayd", "'--state': 'delayd' is not one of 'waiting', "),
        ("message list --limit abc", "'--limit': must be a whole number"),
        ("message list --priority 99", "'--priority': must be at most 10"),
    ],
)
async def test_invalid_option_error_is_readable(msgctl: Invoke, *, words: str, problem: str) -> None:
    """It does not use the words of the validator."""
    outcome = await msgctl(*words.split())
    assert outcome.code == 2
    assert problem in outcome.stderr
    assert "Value error" not in outcome.stderr


async def test_empty_text_error_is_readable(msgctl: Invoke, agent_id: str) -> None:
    """It does not use the words of the validator."""
    outcome = await msgctl("message", "send", "", "--agent", agent_id)
    assert (outcome.code, "is empty" in outcome.stderr, "length" in outcome.stderr) == (2, True, False)


async def test_invalid_setting_error_is_readable(msgctl: Invoke) -> None:
    """It says what the value must be, and where it came from."""
    bad = await msgctl("config", "check", environ={"MSGCTL_WORKER_CONCURRENCY": "abc"})
    assert bad.code == 78
    assert "worker.concurrency (from MSGCTL_WORKER_CONCURRENCY): must be a whole number" in bad.stderr
    low = await msgctl("config", "check", environ={"MSGCTL_WORKER_CONCURRENCY": "0"})
    assert "must be at least 1" in low.stderr


async def test_missing_configuration_is_reported_first(msgctl: Invoke, tmp_path: Path) -> None:
    """A hint precedes the error of Redis if no file and no setting names a server."""
    nothing = dict.fromkeys(("MSGCTL_REDIS_HOST", "MSGCTL_REDIS_PORT", "MSGCTL_REDIS_SENTINELS"), "")
    nothing |= {"MSGCTL_REDIS_TLS": "true"}  # so that no Redis of this machine answers at the default address
    forgotten = await msgctl("stats", environ=nothing)
    assert forgotten.code == 69
    (line,) = forgotten.stderr.splitlines()
    assert line.startswith("msgctl: No configuration file was found")
    for word in ("config.toml", "/etc/msgctl/config.toml", "MSGCTL_CONFIG", "--config"):
        assert word in line
    health = await msgctl("health", environ=nothing)
    assert (health.code, health.stderr.splitlines()[0][:43]) == (69, line[:43])
    (tmp_path / "config.toml").write_text("[redis]\nport = 1\n")
    named = await msgctl("stats", environ=nothing)
    assert (named.code, "No configuration file" in named.stderr) == (69, False)


@pytest.mark.parametrize(
    "words",
    [
        "queue pause --priority 3",
        "queue resume",
        "channel pause telegram",
        "channel resume telegram",
        "agent disable AGENT",
        "agent enable AGENT",
        "worker drain --all",
        "worker resume --all",
        "worker stop --all",
        "dlq edit m --text x",
        "message cancel waits",
    ],
)
async def test_yes_is_accepted_by_each_action(
    msgctl: Invoke, traffic: Traffic, agent_id: str, *, words: str
) -> None:
    """Commands that never ask accept it too."""
    await traffic.failed("m")
    await traffic.waiting("waits")
    await traffic.staffed()
    assert (await msgctl(*words.replace("AGENT", agent_id).split(), "--yes")).code == 0


async def test_undo_accepts_yes(msgctl: Invoke, traffic: Traffic) -> None:
    """The undone cancellation leaves the message waiting."""
    await traffic.waiting("m")
    assert (await msgctl("message", "cancel", "m")).code == 0
    (entry,) = (await msgctl("journal", "list", "-o", "ids")).lines
    assert (await msgctl("journal", "undo", entry, "-y")).code == 0
    job = await traffic.queue.find("m")
    assert job is not None
    assert job.state is State.WAITING


async def test_channel_test_prints_specific_reason(msgctl: Invoke, settings: Settings) -> None:
    """It prints the reason of the sender rather than the general advice for the code."""
    async with Daemon("subscriber", settings, extra={"MSGCTL_CALLBACK_SECRET": CALLBACK_SECRET}):
        outcome = await msgctl("channel", "test", "api", "--to", "http://127.0.0.1:1/")
    assert outcome.code == 4
    assert "allowed_hosts" in outcome.stderr
    assert "names no one to send to" not in outcome.stderr
