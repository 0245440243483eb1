"""The JSON of each command that reports findings: scripts read it, so each form is compared to the letter."""

import msgspec

from daemons.gateway.http.openapi import build_document
from msgctl.domain.messages import State
from msgctl.operations.checks.health import Health
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic

DOCTOR_FIELDS = ["check", "level", "code", "what", "why", "mend", "fix"]
REASON_SCHEMA = {
    "type": "object",
    "title": "Reason",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


async def test_queue_health_prints_reasons_as_code_and_message(msgctl: Invoke, traffic: Traffic) -> None:
    """With `--strict` the stricter reasons follow in the same form."""
    await traffic.queue.pause(["messages:5"])
    outcome = await msgctl("queue", "health", "--strict", "-o", "json")
    assert list(outcome.json) == ["schema", "healthy", "stats", "reasons"]
    assert [list(reason) for reason in outcome.json["reasons"]] == [["code", "message"]] * 3
    assert [reason["code"] for reason in outcome.json["reasons"]] == ["no_worker", "no_subscriber", "paused"]
    assert all(reason["message"] for reason in outcome.json["reasons"])


async def test_message_why_prints_reasons_as_code_and_message(msgctl: Invoke, traffic: Traffic) -> None:
    """The reasons have the same form as those of the health check."""
    await traffic.waiting("m1")
    outcome = await msgctl("message", "why", "m1", "-o", "json")
    assert list(outcome.json) == ["schema", "messageId", "state", "reasons"]
    assert outcome.json["state"] == State.WAITING
    assert [list(reason) for reason in outcome.json["reasons"]][:2] == [["code", "message"]] * 2


async def test_doctor_prints_findings_with_their_seven_fields(msgctl: Invoke) -> None:
    """A finding without trouble has them too, and the unused ones are empty."""
    outcome = await msgctl("doctor", "--quick", "-o", "json")
    findings = outcome.json["findings"]
    assert list(outcome.json) == ["schema", "findings", "fixes", "dryRun"]
    assert {tuple(finding) for finding in findings} == {tuple(DOCTOR_FIELDS)}
    assert {finding["level"] for finding in findings} <= {"ok", "warning", "trouble"}
    by_check = {finding["check"]: finding for finding in findings}
    assert by_check["ghosts"] == {
        "check": "ghosts", "level": "ok", "code": "ok", "what": "none", "why": "", "mend": "", "fix": "",
    }  # fmt: skip
    workers = by_check["workers"]
    assert (workers["level"], workers["code"], workers["fix"]) == ("trouble", "no_worker", "")
    assert workers["what"]
    assert workers["why"]
    assert workers["mend"].startswith("msgctl start worker")


async def test_verify_prints_violations_as_invariant_subject_and_problem(
    msgctl: Invoke, traffic: Traffic, redis: RedisClient
) -> None:
    """The order of the fields is frozen too."""
    await traffic.waiting("m1")
    await redis.persist(keys.job_key("m1"))
    await redis.hset(keys.job_key("m1"), keys.FIELD_ATTEMPTS, 9)
    outcome = await msgctl("verify", "-o", "json")
    assert list(outcome.json) == ["schema", "holds", "messages", "violations", "violated", "limit"]
    violation = {"invariant": "I5", "subject": "m1", "problem": "it has 9 attempts"}
    assert outcome.json["violations"] == [violation]
    assert list(outcome.json["violations"][0]) == list(violation)


def test_openapi_calls_the_finding_of_a_health_report_reason() -> None:
    """Generated clients have a class of this name."""
    components = build_document()["components"]["schemas"]
    assert components["Reason"].items() >= REASON_SCHEMA.items()
    assert components["Health"]["properties"]["reasons"]["items"] == {"$ref": "#/components/schemas/Reason"}


def test_recorded_health_is_read_back() -> None:
    """Recordings of the dashboard by earlier versions contain this form."""
    recorded = b'{"healthy":false,"stats":null,"reasons":[{"code":"no_worker","message":"No worker is alive."}]}'
    assert msgspec.json.encode(msgspec.json.decode(recorded, type=Health)) == recorded
