"""The overview as lines of plain text, without a terminal's arts."""

from msgctl.durations import format_duration
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.screens.facts import facts
from msgctl.tui.text import clock, count, rate

HEAD = f"{'pri':>3} {'waiting':>9} {'active':>7} {'delayed':>8} {'oldest':>7} {'in/s':>7} {'out/s':>7}"


def page(snapshot: Snapshot) -> list[str]:
    """One screen, 80 columns."""
    stats = snapshot.health.stats
    lines = [f"msgctl  {clock(snapshot.at, date=True)} UTC"]
    if stats:
        names = ("waiting", "active", "completed", "failed", "delayed", "paused")
        lines.append("  ".join(f"{name} {count(getattr(stats, name))}" for name in names))
    lines += ["", HEAD]
    lines += [
        f"{row.priority:>3} {count(row.waiting):>9} {count(row.active):>7} {count(row.delayed):>8}"
        f" {format_duration(row.oldest):>7} {rate(row.rate_in):>7} {rate(row.rate_out):>7}"
        for row in snapshot.priorities
    ]
    total = (
        f"answered in 5 min {count(sum(snapshot.answered))}, dead letters in 5 min {count(sum(snapshot.failed))}"
    )
    return [*lines, "", total, *facts(snapshot)]
