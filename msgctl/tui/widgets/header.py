"""The lines above each tab: place, counts, health, and problems."""

from collections.abc import Callable

from textual.widgets import Static

from msgctl.domain.times import format_duration
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.queue.queue import Stats
from msgctl.storage.redis.connections import describe_redis
from msgctl.tui.context import DashboardContext
from msgctl.tui.formatting import format_count, format_short_count, format_time, sanitize

STATE_NAMES = ("waiting", "active", "completed", "failed", "delayed", "paused")


class StatusHeader(Static):
    """Two lines: place and time, then the six counts and the health."""

    def __init__(self, dashboard_context: DashboardContext) -> None:
        where = "a recording" if dashboard_context.player else describe_redis(dashboard_context.settings)
        super().__init__(sanitize(f"msgctl  {where}"), id="masthead", markup=False)
        self._dashboard_context = dashboard_context

    def show_snapshot(self, snapshot: Snapshot, *, frozen: bool) -> None:
        """Show the summary of a snapshot."""
        desk = self._dashboard_context
        flags = [
            *(["FROZEN (p)"] if frozen else []),
            *(["READ-ONLY"] if desk.read_only else []),
            *(["recording"] if desk.recorder else []),
            f"RECORDING PLAYED {desk.player.position}" if desk.player else f"every {desk.interval_s:g} s",
        ]
        where = describe_redis(desk.settings) if not desk.player else ""
        first = sanitize(f"msgctl  {format_time(snapshot.at, date=True)} UTC  {', '.join(flags)}  {where}")
        verdict = "OK" if snapshot.health.healthy else "!!"
        second = f"{verdict}  {_counts(snapshot.health.stats, format_count)}"
        if len(second) > self.size.width - 2:
            second = f"{verdict}  {_counts(snapshot.health.stats, format_short_count)}"
        self.update(f"{first}\n{second}")


def _counts(stats: Stats | None, shape: Callable[[float], str]) -> str:
    return "  ".join(f"{name} {shape(getattr(stats, name))}" for name in STATE_NAMES) if stats else ""


class ProblemBanner(Static):
    """A line that is visible while a dependency is unavailable."""

    def __init__(self) -> None:
        super().__init__("", id="banner", markup=False)
        self.display = False

    def show_problems(self, troubles: list[str], *, last_good: float | None, now: float) -> None:
        """Show problems and the time of the last complete refresh. Without problems the banner is hidden.

        Args:
            troubles: the problems, one sentence each.
            last_good: Unix seconds of the last complete refresh. None if there was none.
            now: Unix seconds.
        """
        self.display = bool(troubles)
        if troubles:
            since = (
                f"last good {format_time(last_good * 1000)} UTC, {format_duration(now - last_good)} ago"
                if last_good
                else "no complete refresh yet"
            )
            self.update(sanitize(f"!! {since}; retrying. {' '.join(troubles)}"))
