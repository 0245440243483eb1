"""The story of one message as lines of text: nothing here draws."""

import json
from datetime import datetime
from typing import Any

from msgctl.events.event import Event
from msgctl.messages import Turn
from msgctl.tui.screens.timeline import clock_ms, timeline
from msgctl.tui.text import clean, clock, masked

TURNS_AROUND = 6
"""Utterances shown before and after the message."""


def tell(found: dict[str, Any], turns: list[Turn], events: list[Event]) -> list[str]:
    """Everything known of a message; what stands in no column is the title of a part.

    Args:
        found: the message, as `Messages.show` answers it.
        turns: its conversation, oldest first.
        events: what the ledger knows of it, oldest first.
    """
    accepted = milliseconds(found["createdAt"])
    parts = [
        ["MESSAGE", *_head(found)],
        ["STEPS", *timeline(found, events, accepted)],
        ["ATTEMPTS", *_attempts(found, events)],
        ["DELIVERY", *_delivery(found.get("delivery"))],
        ["PAYLOAD (secrets masked)", *_payload(found)],
        ["CONVERSATION", *_conversation(found, turns)],
        ["EVENTS", *_events(events), "  all of them: msgctl message trace ID"],
    ]
    return [clean(line) for part in parts for line in [*part, ""]]


def _head(found: dict[str, Any]) -> list[str]:
    error = found.get("error")
    lines = [
        f"  {found['messageId']}",
        f"  state {str(found['state']).upper()}   progress {found['progress']} %",
        f"  channel {found['channel']}   priority {found['priority']}   user {found['userId']}",
        f"  agent {found['agentId']}",
        f"  conversation {found['conversationId']}",
    ]
    lines += [f"  sent anew in other words as {found['edition']}"] if found.get("edition") else []
    lines += [f"  in other words than {found['original']}"] if found.get("original") else []
    return [*lines, f"  last error {error['class']} {error['code']}: {error['text']}"] if error else lines


def _attempts(found: dict[str, Any], events: list[Event]) -> list[str]:
    counts = f"  attempts {found['attempts']}, runs {found['runs']}, workers lost {found['crashes']}"
    lines = [f"{counts}, last {found['worker'] or '-'}"]
    for record in found["records"]:
        took = f" after {record['ms']:,} ms" if isinstance(record.get("ms"), int) else ""
        when = clock(milliseconds(record.get("at", "")))
        what = f"{record.get('class')} {record.get('code')}: {record.get('text')}"
        lines.append(f"  run {record.get('run', '?')}  {when}{took}  {what}")
    lines += [
        f"  run {event.evidence.get('run', '?')}  {clock(event.order[0])}  answered"
        for event in events
        if event.what == "committed"
    ]
    return lines


def _delivery(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["  nothing was tried yet"]
    state = str(record["state"]).upper()
    lines = [f"  {state} on {record['channel']}, tries {record['attempts']}, parts sent {record['part']}"]
    names = {"createdAt": "known since", "sendingAt": "last try", "endedAt": "ended"}
    lines += [f"  {title} {clock(record[name])}" for name, title in names.items() if record.get(name)]
    if record.get("providerId"):
        lines.append(f"  provider's id {record['providerId']}")
    if record.get("code"):
        lines.append(f"  {record['code']}: {record.get('text')}")
    return lines


def _payload(found: dict[str, Any]) -> list[str]:
    payload = masked({"message": found["message"], "channelMetadata": found["channelMetadata"]})
    text = json.dumps(payload, ensure_ascii=False, indent=2).replace("\\\\u", "\\u")  # they are escaped already
    return [f"  {line}" for line in text.splitlines()]


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


def _events(events: list[Event]) -> list[str]:
    before, lines = 0, []
    for event in events:
        at = event.order[0]
        gap = f"+{at - before:,} ms" if before else ""
        evidence = " ".join(f"{name}={value}" for name, value in event.evidence.items())
        lines.append(f"  {clock_ms(at)} {gap:>11}  {event.what}  {event.actor}  {evidence}")
        before = at
    return lines or ["  none of the newest, nor of those near its acceptance"]


def milliseconds(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time; 0 if it is none."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0
