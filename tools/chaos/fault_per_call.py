"""A fault at each call of Redis in a life, one life a call; and the same for RQ as it comes, to compare."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgctl.operations.checks.invariants import verify
from tools.chaos import rq_baseline
from tools.chaos.environment import Place
from tools.support.fault_proxy import Fault
from tools.support.scenario import ANSWERED, Outcome, Story


@dataclass
class Row:
    """One kind of fault, at every call."""

    system: str
    fault: str
    calls: int = 0
    """At how many calls it struck."""
    lost: int = 0
    doubled: int = 0
    """Messages with two committed responses; RQ knows no such thing, its jobs just run again."""
    failed: int = 0
    """Messages called failed that were none."""
    extra_runs: int = 0
    """Calls of n8n, or runs of the job, beyond those needed."""
    broken: list[str] = field(default_factory=list)
    """Where a promise did not hold."""


async def every_call(place: Place, *, most: int = 200, step: int = 1) -> list[Row]:
    """Strike at each call of ours.

    Args:
        place: servers of its own.
        most: calls to strike at, at most.
        step: 1 strikes at each call, 5 at each fifth.
    """
    verify.CONFIRMATION_INTERVAL_S = 0.05  # nothing moves when it looks
    story = Story(place.settings, place.n8n, place.agent_id)
    rows = []
    for fault in Fault:
        row = Row("msgctl", fault)
        await _strike(row, story.enter, fault, range(1, most, step))
        await _strike(row, story.tell, fault, range(1, most, step))
        rows.append(row)
    return rows


async def every_call_of_stock(place: Place, *, most: int = 200, step: int = 1) -> list[Row]:
    """Strike at each call of RQ's worker."""
    rows = []
    for fault in (Fault.SWALLOW, Fault.KILL):
        row = Row("RQ 3.0", fault)
        for at in range(1, most, step):
            outcome = await rq_baseline.tell(place.valkey.port, fault, at)
            if not outcome.command:
                break
            row.calls += 1
            row.lost += outcome.lost
            row.failed += outcome.failed
            row.extra_runs += outcome.extra_runs
        rows.append(row)
    return rows


async def _strike(
    row: Row, tell: Callable[[Fault, int], Awaitable[Outcome]], fault: Fault, numbers: range
) -> None:
    for at in numbers:
        outcome = await tell(fault, at)
        if not outcome.command:
            return
        row.calls += 1
        row.extra_runs += outcome.extra_calls
        row.lost += sum(outcome.states.get(each) != "completed" for each in outcome.expected)
        row.doubled += sum(outcome.responses.get(each, 0) > 1 for each in ANSWERED)
        if not outcome.is_whole:
            row.broken.append(f"{at} ({outcome.command}): {outcome}")
