"""The output of `message trace`: one line for each event, then where the message is and what to do."""

from typing import TYPE_CHECKING

import msgspec

from msgctl.cli.framework.output import fold_line, print_json, print_note, print_text, printable
from msgctl.cli.framework.times import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgctl.ledger.event import Event
    from msgctl.operations.messages.diagnosis import Diagnosis
    from msgctl.operations.messages.trace import MessageTrace


def print_trace(trace: "MessageTrace", before: "Event | None" = None) -> "Event":
    """Print the events of a trace, each with its time and the gap to the event before it.

    Args:
        trace: a trace with at least one event.
        before: the last event that was already printed.

    Returns:
        The last event.
    """
    names = _short_names([diagnosis.message_id for diagnosis in trace.standings])
    if before is None and trace.note:
        print_note(trace.note)
    for event in trace.events:
        at = format_rfc3339(event.position[0]) or ""
        if before is None or at[:10] != (format_rfc3339(before.position[0]) or "")[:10]:
            print_text(f"{at[:10]}, times in UTC")
        gap = _format_gap(event.position[0] - before.position[0]) if before else ""
        name = f"  {names[event.message_id]}" if len(names) > 1 else ""
        print_text(fold_line(f"{at[11:23]}  {gap:>9}{name}  ", format_event(event)))
        before = event
    return trace.events[-1]


def print_trace_json(trace: "MessageTrace", before: "Event | None" = None) -> "Event":
    """Print a trace as JSON, each event with its time and the milliseconds since the event before it.

    Args:
        trace: a trace with at least one event.
        before: the last event that was already printed.

    Returns:
        The last event.
    """
    document = msgspec.to_builtins(trace)
    for event, record in zip(trace.events, document["events"], strict=True):
        record["at"] = format_rfc3339(event.position[0])
        record["gapMs"] = event.position[0] - before.position[0] if before else None
        before = event
    print_json({"schema": "msgctl.trace/1", **document})
    return trace.events[-1]


def print_diagnoses(diagnoses: "Sequence[Diagnosis]") -> None:
    """Print where each message is, and what to do."""
    for diagnosis in diagnoses:
        name = f"{diagnosis.message_id}: " if len(diagnoses) > 1 else ""
        print_text(fold_line("→ ", f"{name}{' '.join(filter(None, (diagnosis.sentence, diagnosis.advice)))}"))


def format_event(event: "Event") -> str:
    """Return an event as one line."""
    facts = " ".join(f"{name}={value}" for name, value in event.evidence.items())
    return printable(" ".join(filter(None, (f"{event.what:<15}", facts, f"({event.actor})"))))


def _short_names(ids: "Sequence[str]") -> dict[str, str]:
    """Shorten ids to their shortest unique prefixes of one length, eight characters or more."""
    length = next(
        (length for length in range(8, 64) if len({name[:length] for name in ids}) == len(ids)), max(map(len, ids))
    )
    return {name: name[:length] for name in ids}


def _format_gap(milliseconds: int) -> str:
    return f"+{milliseconds} ms" if milliseconds < 10_000 else f"+{milliseconds / 1000:.1f} s"
