"""`message trace` on a terminal: a line an event, with its time and the gap before it, and where it stopped."""

from typing import TYPE_CHECKING

from msgctl.cli._output import note, print_text, printable
from msgctl.cli._time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgctl.events import Event
    from msgctl.operations.advice import Standing
    from msgctl.operations.tracing import Story


def print_story(story: "Story", before: "Event | None" = None) -> "Event":
    """Print the events of a story, and its end if every message has one.

    Args:
        story: at least one event.
        before: the event printed last, whose distance the first gap is.

    Returns:
        The last event.
    """
    several = len(story.standings) > 1
    if before is None and story.note:
        note(story.note)
    for event in story.events:
        gap = _gap(event.order[0] - before.order[0]) if before else ""
        name = f"  {event.message_id}" if several else ""
        print_text(f"{(rfc3339(event.order[0]) or '')[11:23]}  {gap:>9}{name}  {describe(event)}")
        before = event
    return story.events[-1]


def print_standings(standings: "Sequence[Standing]") -> None:
    """Where each message stands, and what to do."""
    for one in standings:
        name = f"{one.message_id}: " if len(standings) > 1 else ""
        print_text(f"→ {name}{' '.join(filter(None, (one.sentence, one.advice)))}")


def describe(event: "Event") -> str:
    """An event on one line."""
    facts = " ".join(f"{name}={value}" for name, value in event.evidence.items())
    return printable(f"{event.what:<15} {facts:<40} {event.actor}".rstrip())


def _gap(milliseconds: int) -> str:
    return f"+{milliseconds} ms" if milliseconds < 10_000 else f"+{milliseconds / 1000:.1f} s"
