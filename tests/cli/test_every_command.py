"""Each command through the real program: exit code, JSON with its schema on standard output, no traceback."""

import json
from pathlib import Path

import pytest

from msgctl.cli.manual import leaf_commands
from tests.support.command_line import Invoke, Outcome
from tests.support.messages import Traffic

Case = tuple[str, int, str]
"""The arguments, the exit code, and the schema of each JSON document. An empty schema means no output."""

CASES: dict[str, Case] = {
    "message send": ("hello --agent AGENT -o json", 0, "msgctl.receipt/1"),
    "message list": ("-o json", 0, "msgctl.message-summaries/1"),
    "message show": ("waits -o json", 0, "msgctl.message/1"),
    "message trace": ("waits -o json", 0, "msgctl.trace/1"),
    "message why": ("waits -o json", 0, "msgctl.explanation/1"),
    "message wait": ("done dead -o json", 4, "msgctl.statuses/1"),
    "message cancel": ("waits -o json", 0, "msgctl.cancels/1"),
    "message retry": ("dead -o json", 0, "msgctl.replays/1"),
    "queue stats": ("-o json", 0, "msgctl.stats/1"),
    "queue health": ("-o json", 4, "msgctl.health/1"),
    "queue list": ("-o json", 0, "msgctl.queues/1"),
    "queue pause": ("--priority 3", 0, ""),
    "queue resume": ("", 0, ""),
    "queue drain": ("", 0, ""),
    "queue clean": ("--state completed --older-than 0s --dry-run -o json", 0, "msgctl.clean/1"),
    "dlq list": ("-o jsonl", 0, "msgctl.dead-letter/1"),
    "dlq show": ("dead -o json", 0, "msgctl.message/1"),
    "dlq groups": ("-o json", 0, "msgctl.dead-groups/1"),
    "dlq edit": ("dead --text other -o json", 0, "msgctl.edition/1"),
    "dlq export": ("dead", 0, "msgctl.letter-copy/1"),
    "dlq import": ("letters.jsonl -o json", 0, "msgctl.imports/1"),
    "dlq drop": ("--all --dry-run -o json", 0, "msgctl.drops/1"),
    "dlq replay": ("dead gone -o json", 4, "msgctl.replays/1"),
    "delivery list": ("-o json", 0, "msgctl.deliveries/1"),
    "delivery show": ("waits", 3, ""),
    "delivery retry": ("done --yes -o json", 4, "msgctl.delivery-retries/1"),
    "delivery drop": ("done --yes -o json", 4, "msgctl.delivery-drops/1"),
    "channel list": ("-o json", 0, "msgctl.channels/1"),
    "channel pause": ("telegram", 0, ""),
    "channel resume": ("telegram", 0, ""),
    "channel test": ("telegram --to 1 --timeout 1s -o json", 4, "msgctl.channel-test/1"),
    "worker list": ("-o json", 0, "msgctl.workers/1"),
    "worker show": ("w1 -o json", 0, "msgctl.worker/1"),
    "worker drain": ("w1", 0, ""),
    "worker resume": ("--all", 0, ""),
    "worker stop": ("w1", 0, ""),
    "agent add": ("--user ana --name One --webhook one -o json", 0, "msgctl.agent/1"),
    "agent list": ("-o json", 0, "msgctl.agents/1"),
    "agent show": ("AGENT -o json", 0, "msgctl.agent/1"),
    "agent set": ("AGENT format=plain", 0, ""),
    "agent test": ("AGENT -o json", 0, "msgctl.agent-test/1"),
    "agent disable": ("AGENT", 0, ""),
    "agent enable": ("AGENT", 0, ""),
    "token issue": ("--user ana -o json", 0, "msgctl.issued-token/1"),
    "token inspect": ("nonsense -o json", 6, "msgctl.token/1"),
    "db migrate": ("-o json", 0, "msgctl.migration/1"),
    "db status": ("-o json", 0, "msgctl.migrations/1"),
    "config show": ("-o json", 0, "msgctl.settings/1"),
    "config check": ("", 0, ""),
    "config explain": ("redis.host -o json", 0, "msgctl.setting/1"),
    "config init": ("/dev/null", 6, ""),
    "events list": ("-o json", 0, "msgctl.events/1"),
    "events rebuild": ("-o json", 0, "msgctl.differences/1"),
    "events restore": ("--dry-run -o json", 0, "msgctl.restoreds/1"),
    "journal list": ("-o json", 0, "msgctl.acts/1"),
    "journal undo": ("1-0", 3, ""),
    "top": ("-o json", 0, "msgctl.snapshot/1"),
    "doctor": ("-o json", 4, "msgctl.diagnosis/1"),
    "verify": ("-o json", 0, "msgctl.verdict/1"),
    "assert": ("dlq==1 -o json", 0, "msgctl.condition/1"),
    "wait": ("dlq==9 --timeout 0s -o json", 75, "msgctl.condition/1"),
    "logs": ("--directory .", 3, ""),
    "status": ("dead -o json", 0, "msgctl.message/1"),
    "stats": ("-o json", 0, "msgctl.stats/1"),
    "health": ("-o json", 4, "msgctl.health/1"),
}
ELSEWHERE = {
    "demo": "local/test_demo.py",
    "up": "local/test_up.py",
    "start worker": "local/test_start.py",
    "start subscriber": "cli/test_doctor.py",
    "start gateway": "local/test_start.py",
    "dash": "tui/test_web.py",
    "smoke": "cli/test_smoke.py",
    "systemd install": "systemd/test_scripts.py",
    "systemd deploy": "systemd/test_scripts.py",
    "systemd uninstall": "systemd/test_scripts.py",
}
"""Commands with their own fixtures, and the test file that runs them."""
DEAD_LETTER = {
    "message": {
        "messageId": "letter",
        "conversationId": "c",
        "agentId": "a",
        "userId": "ana",
        "message": "hello",
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
}


def test_case_exists_for_each_command() -> None:
    """Each command runs here, or in the file that `ELSEWHERE` names."""
    assert {name for name, _ in leaf_commands()} == CASES.keys() | ELSEWHERE.keys()
    for name, file in ELSEWHERE.items():
        text = (Path(__file__).parent.parent / file).read_text("utf-8")
        assert name.split()[0] in text, f"{file} does not run {name}"


def parse_documents(outcome: Outcome) -> list[dict[str, object]]:
    """Parse the output, one JSON document on each line."""
    return [json.loads(line) for line in outcome.lines]


@pytest.mark.parametrize("noun", sorted({name.split()[0] for name in CASES}))
async def test_verb_keeps_output_contract(
    msgctl: Invoke, traffic: Traffic, agent_id: str, tmp_path: Path, noun: str
) -> None:
    """The exit code and the schema are the expected ones. A failure ends with one line for people."""
    await traffic.completed("done")
    await traffic.failed("dead")
    await traffic.waiting("waits")
    await traffic.claims.heartbeat([], "idle")
    (tmp_path / "letters.jsonl").write_text(json.dumps(DEAD_LETTER) + "\n")
    for name, (typed, code, schema) in CASES.items():
        if name.split()[0] != noun:
            continue
        words = [*name.split(), *typed.replace("AGENT", agent_id).split()]
        outcome = await msgctl(*words)
        assert outcome.code == code, (words, outcome)
        assert "Traceback" not in outcome.stderr
        assert {document["schema"] for document in parse_documents(outcome)} == ({schema} if schema else set()), (
            words
        )
        if code and schema != "msgctl.health/1":
            assert outcome.stderr.splitlines()[-1].startswith("msgctl: "), words
