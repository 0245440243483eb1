"""`message trace` on a terminal: a line an event, with its time and the gap before it, and where it stopped."""

from typing import TYPE_CHECKING

import msgspec

from msgctl.cli.framework.output import fold_line, print_json, print_note, print_text, printable
from msgctl.cli.framework.times import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgctl.ledger.event import Event
    from msgctl.operations.messages.diagnosis import Diagnosis
    from msgctl.operations.messages.trace import MessageTrace


def print_trace(story: "MessageTrace", before: "Event | None" = None) -> "Event":
    """Print the events of a story, and its end if every message has one.

    Args:
        story: at least one event.
        before: the event printed last, whose distance the first gap is.

    Returns:
        The last event.
    """
    names = _short_names([one.message_id for one in story.standings])
    if before is None and story.note:
        print_note(story.note)
    for event in story.events:
        at = format_rfc3339(event.position[0]) or ""
        if before is None or at[:10] != (format_rfc3339(before.position[0]) or "")[:10]:
            print_text(f"{at[:10]}, times in UTC")
        gap = _format_gap(event.position[0] - before.position[0]) if before else ""
        name = f"  {names[event.message_id]}" if len(names) > 1 else ""
        print_text(fold_line(f"{at[11:23]}  {gap:>9}{name}  ", format_event(event)))
        before = event
    return story.events[-1]


def print_trace_json(story: "MessageTrace", before: "Event | None" = None) -> "Event":
    """Print a story as JSON, each event with its time and the milliseconds since the one before it.

    Args:
        story: at least one event.
        before: the event printed last.

    Returns:
        The last event.
    """
    record = msgspec.to_builtins(story)
    for event, told in zip(story.events, record["events"], strict=True):
        told["at"] = format_rfc3339(event.position[0])
        told["gapMs"] = event.position[0] - before.position[0] if before else None
        before = event
    print_json({"schema": "msgctl.trace/1", **record})
    return story.events[-1]


def print_diagnoses(standings: "Sequence[Diagnosis]") -> None:
    """Where each message stands, and what to do."""
    for one in standings:
        name = f"{one.message_id}: " if len(standings) > 1 else ""
        print_text(fold_line("→ ", f"{name}{' '.join(filter(None, (one.sentence, one.advice)))}"))


def format_event(event: "Event") -> str:
    """An event on one line."""
    facts = " ".join(f"{name}={value}" for name, value in event.evidence.items())
    return printable(" ".join(filter(None, (f"{event.what:<15}", facts, f"({event.actor})"))))


def _short_names(ids: "Sequence[str]") -> dict[str, str]:
    """Each id by as many of its first letters as tell it from the others, eight at least."""
    length = next(
        (length for length in range(8, 64) if len({one[:length] for one in ids}) == len(ids)), max(map(len, ids))
    )
    return {one: one[:length] for one in ids}


def _format_gap(milliseconds: int) -> str:
    return f"+{milliseconds} ms" if milliseconds < 10_000 else f"+{milliseconds / 1000:.1f} s"
