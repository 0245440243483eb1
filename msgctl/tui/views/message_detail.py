"""A message in full, as lines of text."""

import json
from datetime import datetime
from typing import Any

from msgctl.domain.messages import Turn
from msgctl.ledger.event import Event
from msgctl.tui.formatting import format_time, mask_secrets, sanitize
from msgctl.tui.views.timeline import format_time_ms, timeline_lines

NEARBY_TURNS = 6
"""Turns shown before and after the message."""


def message_lines(found: dict[str, Any], turns: list[Turn], events: list[Event]) -> list[str]:
    """Return the lines about a message. A line without indentation is a title.

    Args:
        found: the message, as `Messages.show` returns it.
        turns: its conversation, oldest first.
        events: its events in the ledger, oldest first.
    """
    accepted = parse_rfc3339_ms(found["createdAt"])
    parts = [
        ["MESSAGE", *_head(found)],
        ["STEPS", *timeline_lines(found, events, accepted)],
        ["ATTEMPTS", *_attempts(found, events)],
        ["DELIVERY", *_delivery(found.get("delivery"))],
        ["PAYLOAD (secrets masked)", *_payload(found)],
        ["CONVERSATION", *_conversation(found, turns)],
        ["EVENTS", *_events(events), "  all of them: msgctl message trace ID"],
    ]
    return [sanitize(line) for part in parts for line in [*part, ""]]


def _head(found: dict[str, Any]) -> list[str]:
    error = found.get("error")
    lines = [
        f"  {found['messageId']}",
        f"  state {str(found['state']).upper()}   progress {found['progress']} %",
        f"  channel {found['channel']}   priority {found['priority']}   user {found['userId']}",
        f"  agent {found['agentId']}",
        f"  conversation {found['conversationId']}",
    ]
    lines += [f"  replaced by {found['edition']}"] if found.get("edition") else []
    lines += [f"  edited copy of {found['original']}"] if found.get("original") else []
    return [*lines, f"  last error {error['class']} {error['code']}: {error['text']}"] if error else lines


def _attempts(found: dict[str, Any], events: list[Event]) -> list[str]:
    counts = f"  attempts {found['attempts']}, runs {found['runs']}, workers lost {found['crashes']}"
    lines = [f"{counts}, last {found['worker'] or '-'}"]
    for record in found["records"]:
        took = f" after {record['ms']:,} ms" if isinstance(record.get("ms"), int) else ""
        when = format_time(parse_rfc3339_ms(record.get("at", "")))
        what = f"{record.get('class')} {record.get('code')}: {record.get('text')}"
        lines.append(f"  run {record.get('run', '?')}  {when}{took}  {what}")
    lines += [
        f"  run {event.evidence.get('run', '?')}  {format_time(event.position[0])}  answered"
        for event in events
        if event.what == "committed"
    ]
    return lines


def _delivery(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["  no attempt yet"]
    state = str(record["state"]).upper()
    lines = [f"  {state} on {record['channel']}, tries {record['attempts']}, parts sent {record['part']}"]
    names = {"createdAt": "known since", "sendingAt": "last try", "endedAt": "ended"}
    lines += [f"  {title} {format_time(record[name])}" for name, title in names.items() if record.get(name)]
    if record.get("providerId"):
        lines.append(f"  provider's id {record['providerId']}")
    if record.get("code"):
        lines.append(f"  {record['code']}: {record.get('text')}")
    return lines


def _payload(found: dict[str, Any]) -> list[str]:
    payload = mask_secrets({"message": found["message"], "channelMetadata": found["channelMetadata"]})
    text = json.dumps(payload, ensure_ascii=False, indent=2).replace("\\\\u", "\\u")  # already escaped
    return [f"  {line}" for line in text.splitlines()]


def _conversation(found: dict[str, Any], turns: list[Turn]) -> list[str]:
    place = next((i for i, turn in enumerate(turns) if turn.timestamp == found["timestamp"]), len(turns))
    near = turns[max(0, place - NEARBY_TURNS) : place + NEARBY_TURNS]
    if not near:
        return ["  no turns, or no longer kept"]
    return [
        f"{'> ' if turn.timestamp == found['timestamp'] else '  '}{turn.timestamp[11:19]} {turn.role}: "
        f"{mask_secrets(turn.content)}"
        for turn in near
    ]


def _events(events: list[Event]) -> list[str]:
    before, lines = 0, []
    for event in events:
        at = event.position[0]
        gap = f"+{at - before:,} ms" if before else ""
        evidence = " ".join(f"{name}={value}" for name, value in event.evidence.items())
        lines.append(f"  {format_time_ms(at)} {gap:>11}  {event.what}  {event.actor}  {evidence}")
        before = at
    return lines or ["  none among the newest events and those after its acceptance"]


def parse_rfc3339_ms(text: str) -> int:
    """Return the Unix milliseconds of an RFC 3339 time, or 0 if it is invalid."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0
