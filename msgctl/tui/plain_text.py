"""The overview as plain text, without control sequences."""

from msgctl.domain.times import format_duration
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.formatting import format_count, format_rate, format_time
from msgctl.tui.views.status_lines import status_lines

PRIORITIES_HEAD = f"{'pri':>3} {'waiting':>9} {'active':>7} {'delayed':>8} {'oldest':>7} {'in/s':>7} {'out/s':>7}"


def overview_lines(snapshot: Snapshot) -> list[str]:
    """Return the lines of one screen of 80 columns."""
    stats = snapshot.health.stats
    lines = [f"msgctl  {format_time(snapshot.at, date=True)} UTC"]
    if stats:
        names = ("waiting", "active", "completed", "failed", "delayed", "paused")
        lines.append("  ".join(f"{name} {format_count(getattr(stats, name))}" for name in names))
    lines += ["", PRIORITIES_HEAD]
    lines += [
        f"{row.priority:>3} {format_count(row.waiting):>9} "
        f"{format_count(row.active):>7} {format_count(row.delayed):>8}"
        f" {format_duration(row.oldest):>7} {format_rate(row.rate_in):>7} {format_rate(row.rate_out):>7}"
        for row in snapshot.priorities
    ]
    total = (
        f"answered in 5 min {format_count(sum(snapshot.answered))}, "
        f"dead letters in 5 min {format_count(sum(snapshot.failed))}"
    )
    return [*lines, "", total, *status_lines(snapshot)]
