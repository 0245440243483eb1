"""An operator's work during an incident: replay, pause, cancel, explain, edit, export, undo, and diagnose."""

import asyncio
import json
import signal
from pathlib import Path

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke, started
from tests.support.messages import Traffic
from tools.support.daemons import PATIENCE, until


async def states(traffic: Traffic, *message_ids: str) -> list[State | None]:
    """Return the state of each message, None for a deleted one."""
    return [
        job.state if job else None for job in [await traffic.queue.find(message_id) for message_id in message_ids]
    ]


def saved_plans(folder: Path) -> list[Path]:
    """Return the plans that an interrupted replay saved."""
    return list(folder.glob("replay-*.json"))


async def test_saved_plan_replays_a_group(
    msgctl: Invoke, traffic: Traffic, redis: RedisClient, tmp_path: Path
) -> None:
    """A dry run prints what would be replayed, and why the rest is skipped. The saved plan is replayed later."""
    await traffic.failed("m1", "m2")
    await redis.hset(keys.job_key("m2"), keys.FIELD_EDITION, "other")
    groups = (await msgctl("dlq", "groups", "-o", "json")).json
    assert groups["schema"] == "msgctl.dead-groups/1"
    (group,) = groups["items"]
    assert (group["count"], group["signature"]) == (2, "n8n_rejected: n8n answered N.")
    table = await msgctl("dlq", "groups")
    assert f"msgctl dlq replay --group {group['group']} --dry-run" in table.stderr
    dry = (await msgctl("dlq", "replay", "--group", group["group"], "--dry-run", "-o", "json")).json
    assert [(item["messageId"], item["outcome"]) for item in dry["items"]] == [
        ("m1", "would_replay"),
        ("m2", "skipped"),
    ]
    assert dry["items"][1]["reason"] == "superseded"
    saved = await msgctl("dlq", "replay", "--group", group["group"], "--save", "plan.json")
    assert (saved.code, json.loads((tmp_path / "plan.json").read_text())["replay"]) == (0, ["m1"])
    assert (await msgctl("dlq", "replay", "--plan", "plan.json", "--since", "1h", "--yes")).code == 2
    done = await msgctl("dlq", "replay", "--plan", "plan.json", "--yes", "--rate", "50/s", "-o", "json")
    assert done.code == 4
    assert await states(traffic, "m1", "m2") == [State.WAITING, State.FAILED]


async def test_interrupted_replay_saves_remaining_plan(
    traffic: Traffic, settings: Settings, msgctl: Invoke, tmp_path: Path
) -> None:
    """The saved plan replays the rest."""
    names = [f"m{number}" for number in range(12)]
    await traffic.failed(*names)
    async with started(settings, "dlq", "replay", "--all", "--yes", "--rate", "2/s", folder=tmp_path) as process:

        async def begun() -> bool:
            return (await traffic.queue.stats()).failed < 12

        await until(begun, "the first to be replayed")
        process.send_signal(signal.SIGINT)
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 130
    assert b"Continue: msgctl dlq replay --plan replay-" in stderr
    (plan,) = saved_plans(tmp_path)
    outcome = await msgctl("dlq", "replay", "--plan", plan.name, "--yes", "-o", "ids")
    assert outcome.code == 0
    assert (await traffic.queue.stats()).failed == 0
    acts = (await msgctl("journal", "list", "-o", "json")).json["items"]
    assert sum(act["count"] for act in acts if act["act"] == "dlq replay") == 12


async def test_dead_letters_are_exported_dropped_imported_and_edited(
    msgctl: Invoke, traffic: Traffic, tmp_path: Path, redis: RedisClient
) -> None:
    """An export can be imported after a drop. An edited copy is a new message that the original names."""
    await traffic.failed("m1", "m2")
    copy = await msgctl("dlq", "export", "m1")
    assert copy.json["message"]["message"] == "hello"
    (tmp_path / "letters.jsonl").write_text(copy.stdout)
    assert (await msgctl("dlq", "drop", "--all", "--dry-run", "-o", "ids")).lines == ["m1", "m2"]
    assert (await msgctl("dlq", "drop", "--all", "--limit", "1", "--dry-run", "-o", "ids")).lines == ["m1"]
    assert (await msgctl("dlq", "drop", "--all", "--no-input")).code == 6
    assert (await msgctl("dlq", "drop", "m1", "--yes", "--reason", "spam")).code == 0
    assert await states(traffic, "m1", "m2") == [None, State.FAILED]
    back = await msgctl("dlq", "import", "letters.jsonl", "--new-ids", "-o", "json")
    assert (back.code, back.json["items"][0]["outcome"]) == (0, "accepted")
    edition = (await msgctl("dlq", "edit", "m2", "--text", "in other words", "-o", "json")).json
    assert edition["original"] == "m2"
    assert await redis.hget(keys.job_key("m2"), keys.FIELD_EDITION) == edition["messageId"]
    job = await traffic.queue.find(edition["messageId"])
    assert job
    assert (job.message.message, job.message.conversation_id) == ("in other words", "of-m2")
    assert (await msgctl("dlq", "show", "m2", "-o", "json")).json["state"] == "failed"
    assert (await msgctl("dlq", "show", edition["messageId"])).code == 3


async def test_cancelled_message_is_dead_letter_until_undo(msgctl: Invoke, traffic: Traffic) -> None:
    """`message why` names what the message waits for."""
    await traffic.waiting("m1", conversation="c")
    await traffic.waiting("m2", conversation="c")
    why = (await msgctl("message", "why", "m1", "-o", "json")).json
    assert (why["state"], [reason["code"] for reason in why["reasons"]]) == ("waiting", ["in_queue", "no_worker"])
    assert "msgctl message why m1" in (await msgctl("message", "why", "m2")).stdout.replace("\n", " ").replace(
        "  ", " "
    )
    listed = await msgctl("message", "list", "--state", "waiting", "--user", "ana", "-o", "ids")
    assert set(listed.lines) == {"m1", "m2"}
    refused = await msgctl("message", "cancel", "--user", "ana")
    assert (refused.code, await states(traffic, "m1")) == (6, [State.WAITING])
    assert (await msgctl("message", "cancel", "m1", "--reason", "by mistake")).code == 0
    assert await states(traffic, "m1", "m2") == [State.FAILED, State.WAITING]
    assert (await msgctl("message", "wait", "m1")).code == 4
    act = (await msgctl("journal", "list", "-o", "json")).json["items"][0]
    assert (act["act"], act["reason"], act["ids"]) == ("message cancel", "by mistake", ["m1"])
    assert "@" in act["who"]
    assert (await msgctl("journal", "undo", act["entry"], "--dry-run")).code == 0
    assert (await msgctl("journal", "undo", act["entry"])).code == 0
    assert await states(traffic, "m1") == [State.WAITING]
    assert (await msgctl("journal", "undo", "17-0")).code == 3


async def test_resume_of_one_priority_keeps_others_paused(msgctl: Invoke, traffic: Traffic) -> None:
    """Undoing a pause of all resumes only the queues that were not paused before."""
    await traffic.queue.pause(["messages:3"])
    assert (await msgctl("queue", "pause")).code == 0
    await traffic.queue.resume(["messages:5"])
    assert set(keys.QUEUES) - set(await traffic.queue.list_paused()) == {"messages:5"}
    await traffic.active("m")
    act = (await msgctl("journal", "list", "-o", "json")).json["items"][0]
    await traffic.queue.pause()
    assert (await msgctl("journal", "undo", act["entry"])).code == 0
    assert await traffic.queue.list_paused() == ["messages:3"]
    await traffic.queue.pause()
    assert (await msgctl("queue", "pause")).code == 0
    nothing = (await msgctl("journal", "list", "-o", "json")).json["items"][0]
    assert (await msgctl("journal", "undo", nothing["entry"])).code == 0
    assert await traffic.queue.list_paused() == list(keys.QUEUES)


async def test_paused_priority_is_reported_and_resumed(msgctl: Invoke, traffic: Traffic) -> None:
    """List, stats, and strict health show it, an undo resumes it, and a drain times out."""
    await traffic.waiting("m1")
    assert (
        await msgctl("queue", "pause", "--priority", "5", "--reason", "n8n is slow")
    ).stderr == "paused: messages:5\n"
    (fifth,) = [row for row in (await msgctl("queue", "list", "-o", "json")).json["items"] if row["priority"] == 5]
    assert (fifth["paused"], fifth["waiting"]) == (True, 1)
    assert (await msgctl("stats", "-o", "json")).json["paused"] == 1
    strict = await msgctl("queue", "health", "--strict", "-o", "json")
    assert (strict.code, strict.json["reasons"][-1]["code"]) == (4, "paused")
    drained = await msgctl("queue", "drain", "--wait", "--timeout", "1s")
    assert (drained.code, "1 paused" in drained.stderr) == (75, True)
    act = (await msgctl("journal", "list", "-o", "json")).json["items"][0]
    assert (await msgctl("journal", "undo", act["entry"])).code == 0
    assert await traffic.queue.list_paused() == []
    await msgctl("queue", "pause")
    assert (await msgctl("queue", "resume")).stderr == "paused: none\n"


async def test_small_nouns_show_check_and_switch(msgctl: Invoke, agent_id: str) -> None:
    """Agents, tokens, settings, and tables."""
    assert (await msgctl("agent", "disable", agent_id, "--reason", "too dear")).code == 0
    assert (await msgctl("agent", "show", agent_id, "-o", "json")).json["active"] is False
    assert (await msgctl("agent", "enable", agent_id)).code == 0
    assert (await msgctl("agent", "disable", "nobody")).code == 3
    token = (await msgctl("token", "issue", "--user", "ana")).stdout.strip()
    known = await msgctl("token", "inspect", token, "-o", "json")
    assert (known.code, known.json["sub"], known.json["accepted"]) == (0, "ana", True)
    assert token not in known.stdout + known.stderr
    assert (await msgctl("token", "inspect", token[:-4] + "AAAA")).code == 6
    assert (await msgctl("config", "check")).code == 0
    explained = (await msgctl("config", "explain", "worker.concurrency", "-o", "json")).json
    assert (explained["default"], explained["environment"]) == (5, "MSGCTL_WORKER_CONCURRENCY")
    assert "worker.concurrency" in (await msgctl("config", "explain", "worker.concurency")).stderr
    tables = (await msgctl("db", "status", "-o", "json")).json["items"]
    assert tables
    assert all(table["applied"] for table in tables)


async def test_condition_sets_exit_code(msgctl: Invoke, traffic: Traffic) -> None:
    """0 if it holds, 4 if not, 75 after the timeout, and 2 for an invalid condition."""
    await traffic.failed("m1")
    held = await msgctl("assert", "dlq==1 and waiting<100 and age(p1)<30s or workers>5", "-o", "json")
    assert (held.code, held.json["holds"], len(held.json["comparisons"])) == (0, True, 4)
    broken = await msgctl("assert", "failed_rate<5%")
    assert (broken.code, "it is 1" in broken.stderr) == (4, True)
    assert (await msgctl("wait", "dlq==0", "--timeout", "1s")).code == 75
    assert (await msgctl("assert", "load<1")).code == 2


async def test_doctor_reports_problems_with_remedies(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """`--fix` removes dead daemons."""
    await traffic.failed("m1")
    await traffic.waiting("m2")
    await redis.hset(keys.SUBSCRIBERS, "dead", "1000")
    environ = {"MSGCTL_HEALTH_MAX_WAITING": "0"}
    outcome = await msgctl("doctor", "--fix", "--dry-run", "-o", "json", environ=environ)
    assert outcome.code == 4
    findings = {finding["code"]: finding for finding in outcome.json["findings"]}
    assert {"queue_growing", "jobs_failing", "socket_without_reply", "no_worker", "ghosts"} <= findings.keys()
    assert all(one["why"] and one["mend"] for code, one in findings.items() if code != "ok")
    assert "ghosts" in outcome.json["fixes"]
    assert await redis.hexists(keys.SUBSCRIBERS, "dead")
    await redis.hset(keys.GATEWAYS, "stopped", "1000")
    await msgctl("doctor", "--fix", "--yes", "--quick")
    again = await msgctl("doctor", "--quick", "-o", "json")
    assert "ghosts" not in {finding["code"] for finding in again.json["findings"]}
    assert await redis.hexists(keys.GATEWAYS, "stopped")  # its inbox may still be taken over
    assert not await redis.hexists(keys.SUBSCRIBERS, "dead")
    down = await msgctl("doctor", "--quick", "-o", "json", environ={"MSGCTL_REDIS_PORT": "1"})
    assert "redis_down" in {finding["code"] for finding in down.json["findings"]}


async def test_doctor_table_fits_80_columns(msgctl: Invoke, traffic: Traffic) -> None:
    """Each check has one line. Below a problem are its effect and the steps of its fix."""
    await traffic.failed("m1")
    await traffic.waiting("m2")
    (group,) = (await msgctl("dlq", "groups", "-o", "ids")).lines
    shown = await msgctl("doctor", environ={"MSGCTL_HEALTH_MAX_WAITING": "0"})
    checks = [line for line in shown.lines if not line.startswith(" ")]
    assert all(line.split()[0] in {"ok", "WARN", "BAD"} for line in checks)
    at = next(number for number, line in enumerate(shown.lines) if line.split()[:2] == ["BAD", "failures"])
    assert [line.strip() for line in shown.lines[at : at + 6]] == [
        "BAD   failures              jobs_failing",
        "1 of 2 messages is a dead letter. 1 of the newest 1: n8n_rejected: n8n",
        "answered N.",
        "Why: Their senders get no answer.",
        "→ msgctl dlq groups",
        "→ fix the cause",
    ]
    assert shown.lines[at + 6].strip() == f"→ msgctl dlq replay --group {group} --canary 5"
    assert [line for line in shown.lines if line.startswith("      1 message waits, the oldest for ")]
    assert max(map(len, shown.lines)) <= 80


async def test_logs_filter_by_message_and_level(msgctl: Invoke, tmp_path: Path) -> None:
    """From the file in the given folder."""
    lines = ['{"level": "info", "messageId": "m1"}', '{"level": "error", "messageId": "m2"}']
    (tmp_path / "combined.log").write_text("\n".join(lines) + "\n")
    assert (await msgctl("logs", "--directory", ".", "--message", "m1")).lines == lines[:1]
    assert (await msgctl("logs", "--directory", ".", "--errors")).lines == lines[1:]
    assert (await msgctl("logs", "--directory", ".", "--message", "m3")).code == 5


async def test_send_from_file_checks_each_line_first(
    msgctl: Invoke, agent_id: str, traffic: Traffic, tmp_path: Path
) -> None:
    """Then it sends all messages at the given rate."""
    good = json.dumps({"agentId": agent_id, "message": "one", "messageId": "m1"})
    (tmp_path / "bad.jsonl").write_text(f'{good}\n{{"agentId": 7}}\n')
    bad = await msgctl("message", "send", "--from", "bad.jsonl")
    assert (bad.code, "Line 2" in bad.stderr) == (2, True)
    assert await states(traffic, "m1") == [None]
    (tmp_path / "good.jsonl").write_text(f"{good}\n{good.replace('m1', 'm2')}\n")
    sent = await msgctl("message", "send", "--from", "good.jsonl", "--rate", "20/s", "-o", "ids")
    assert (sent.code, sent.lines) == (0, ["m1", "m2"])
    assert (await msgctl("message", "send", "x", "--agent", agent_id, "--via-api")).code == 69


async def test_worker_show_and_lists_print_current_state(msgctl: Invoke, traffic: Traffic) -> None:
    """`worker show` has the running message and its lease. Deliveries and channels are listed."""
    await traffic.staffed()
    await traffic.active("m1")
    worker = (await msgctl("worker", "show", "w1", "-o", "json")).json
    assert worker["runs"][0]["messageId"] == "m1"
    assert worker["runs"][0]["leaseSeconds"] > 0
    assert (await msgctl("worker", "show", "nobody")).code == 3
    channels = (await msgctl("channel", "list", "-o", "json")).json
    assert {row["channel"] for row in channels["items"]} == {"web", "whatsapp", "telegram", "api"}
    await traffic.failed("m2")
    deliveries = (await msgctl("delivery", "list", "-o", "json")).json["items"]
    assert [(one["messageId"], one["kind"]) for one in deliveries] == [("m2", "failure")]
    assert (await msgctl("delivery", "show", "m1")).code == 3
