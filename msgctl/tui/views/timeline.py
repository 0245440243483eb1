"""The six steps of a message as a timeline, with the start and the duration of each."""

from typing import Any

from msgctl.domain.steps import STEPS
from msgctl.ledger.event import Event
from msgctl.tui.formatting import format_time


def timeline_lines(found: dict[str, Any], events: list[Event], accepted: int) -> list[str]:
    """Return one line for each step from acceptance to the end.

    Args:
        found: the message, as `Messages.show` returns it.
        events: its events in the ledger, oldest first. Without its last claim, no step has a time.
        accepted: its acceptance, in Unix milliseconds.
    """
    claim = next((event for event in reversed(events) if event.what == "claimed"), None)
    lines = [f"  {format_time_ms(accepted)}  accepted"]
    if claim:
        waited = f"{claim.position[0] - accepted:,} ms later" if accepted else ""
        lines.append(
            f"  {format_time_ms(claim.position[0])}  claimed by {claim.actor}, run {_run(claim)}, {waited}"
        )
    lines += _steps(found, _times(claim, events))
    if found["finishedOn"]:
        took = f", {(found['finishedOn'] - accepted) / 1000:.1f} s after it was accepted" if accepted else ""
        lines.append(f"  {format_time_ms(found['finishedOn'])}  {found['state']}{took}")
    return lines


def _steps(found: dict[str, Any], times: dict[str, tuple[int, int]]) -> list[str]:
    progress, state = found["progress"], found["state"]
    lines = []
    for percent, name, _, words in STEPS:
        here = percent == progress < 100
        mark = "!" if here and state == "failed" else ">" if here and state == "active" else "x"
        note = {"!": "  <- it stopped here", ">": "  <- it is here"}.get(mark, "")
        began, took = times.get(name, (0, 0))
        when = f"  {format_time_ms(began)} {took:>7,} ms" if began else ""
        lines.append(
            f"  [{mark if progress >= percent else ' '}] {percent:>3} %  {words:<21}{when}{note}".rstrip()
        )
    return lines


def _times(claim: Event | None, events: list[Event]) -> dict[str, tuple[int, int]]:
    """Return when each step of the last run began, and how many milliseconds it took."""
    if claim is None:
        return {}
    steps = next(
        (e.evidence["steps"] for e in reversed(events) if "steps" in e.evidence and _run(e) == _run(claim)), ""
    )
    at, times = claim.position[0], {}
    for step in filter(None, str(steps).split(",")):
        name, _, took = step.partition(":")
        times[name] = (at, int(took))
        at += int(took)
    return times


def _run(event: Event) -> str:
    return str(event.evidence.get("run", "?"))


def format_time_ms(milliseconds: int) -> str:
    """Format a time of day in UTC with milliseconds."""
    return f"{format_time(milliseconds)}.{milliseconds % 1000:03}" if milliseconds else "-"
