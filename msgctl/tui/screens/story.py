"""The story of one message as lines of text: nothing here draws."""

import json
from datetime import datetime
from typing import Any

from msgctl.events import Event
from msgctl.messages import Turn
from msgctl.tui.text import clean, clock, masked

STEPS = (
    (10, "find the agent"),
    (20, "read the history"),
    (30, "prepare the payload"),
    (50, "call the workflow"),
    (80, "publish the response"),
    (100, "done"),
)
TURNS_AROUND = 6
"""Utterances shown before and after the message."""


def tell(found: dict[str, Any], turns: list[Turn], events: list[Event]) -> list[str]:
    """Everything known of a message.

    Args:
        found: the message, as `Messages.show` answers it.
        turns: its conversation, oldest first.
        events: what the ledger knows of it, oldest first.
    """
    parts = [
        _head(found),
        ["STEPS", *_steps(found)],
        ["EVENTS (those near its acceptance and the newest; all: msgctl message trace)", *_events(events)],
        ["ATTEMPTS", *_attempts(found)],
        ["DELIVERY", *_delivery(found.get("delivery"))],
        ["PAYLOAD (secrets masked)", *_payload(found)],
        ["CONVERSATION", *_conversation(found, turns)],
    ]
    return [clean(line) for part in parts for line in [*part, ""]]


def _head(found: dict[str, Any]) -> list[str]:
    error = found.get("error")
    lines = [
        f"{found['messageId']}",
        f"state {str(found['state']).upper()}   progress {found['progress']} %",
        f"channel {found['channel']}   priority {found['priority']}",
        f"user {found['userId']}   agent {found['agentId']}   conversation {found['conversationId']}",
    ]
    return [*lines, f"last error {error['class']} {error['code']}: {error['text']}"] if error else lines


def _steps(found: dict[str, Any]) -> list[str]:
    """The six steps; the times are those that are recorded: acceptance, ends of attempts, the end."""
    accepted = milliseconds(found["createdAt"])
    lines = [f"  {clock(accepted)}  accepted"]
    for percent, step in STEPS:
        mark = "[x]" if found["progress"] >= percent else "[ ]"
        here = "  <- it is here" if percent == found["progress"] < 100 and found["state"] == "active" else ""
        stopped = (
            "  <- it stopped here" if percent == found["progress"] < 100 and found["state"] == "failed" else ""
        )
        lines.append(f"  {mark} {percent:>3} %  {step}{here}{stopped}")
    if found["finishedOn"]:
        took = f", {(found['finishedOn'] - accepted) / 1000:.1f} s after it was accepted" if accepted else ""
        lines.append(f"  {clock(found['finishedOn'])}  {found['state']}{took}")
    return lines


def _events(events: list[Event]) -> list[str]:
    before, lines = 0, []
    for event in events:
        at = event.order[0]
        gap = f"+{at - before:,} ms" if before else ""
        evidence = " ".join(f"{name}={value}" for name, value in event.evidence.items())
        lines.append(f"  {clock(at)}.{at % 1000:03} {gap:>11}  {event.what}  {event.actor}  {evidence}")
        before = at
    return lines or ["  none"]


def _attempts(found: dict[str, Any]) -> list[str]:
    head = f"  counted {found['attempts']}, runs {found['runs']}, lost workers {found['crashes']}"
    lines = [f"{head}, worker {found['worker'] or '-'}"]
    for record in found["records"]:
        took = f" after {record['ms']:,} ms" if isinstance(record.get("ms"), int) else ""
        when = clock(milliseconds(record.get("at", "")))
        what = f"{record.get('class')} {record.get('code')}: {record.get('text')}"
        lines.append(f"  run {record.get('run', '?')}  {when}{took}  {what}")
    return lines


def _delivery(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["  nothing was tried yet"]
    lines = [
        f"  {record['state']} on {record['channel']}, tries {record['attempts']}, parts sent {record['part']}"
    ]
    lines += [
        f"  {name} {clock(record[name])}" for name in ("createdAt", "sendingAt", "endedAt") if record.get(name)
    ]
    if record.get("providerId"):
        lines.append(f"  provider's id {record['providerId']}")
    if record.get("code"):
        lines.append(f"  {record['code']}: {record.get('text')}")
    return lines


def _payload(found: dict[str, Any]) -> list[str]:
    payload = masked({"message": found["message"], "channelMetadata": found["channelMetadata"]})
    return [f"  {line}" for line in json.dumps(payload, ensure_ascii=False, indent=2).splitlines()]


def _conversation(found: dict[str, Any], turns: list[Turn]) -> list[str]:
    place = next((i for i, turn in enumerate(turns) if turn.timestamp == found["timestamp"]), len(turns))
    near = turns[max(0, place - TURNS_AROUND) : place + TURNS_AROUND]
    if not near:
        return ["  nothing was said yet, or it is forgotten"]
    return [
        f"{'> ' if turn.timestamp == found['timestamp'] else '  '}{turn.timestamp[11:19]} {turn.role}: "
        f"{masked(turn.content)}"
        for turn in near
    ]


def milliseconds(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time; 0 if it is none."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0
