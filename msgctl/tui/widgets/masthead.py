"""The lines on top of every tab: where we are, how it stands, and what is in trouble."""

from collections.abc import Callable

from textual.widgets import Static

from msgctl.durations import format_duration
from msgctl.operations.snapshot import Snapshot
from msgctl.redisdb.connection import describe
from msgctl.rqueue.queue import Stats
from msgctl.tui.desk import Desk
from msgctl.tui.text import clean, clock, count, short

STATES = ("waiting", "active", "completed", "failed", "delayed", "paused")


class Masthead(Static):
    """Two lines: place and time; the six counts and the health."""

    def __init__(self, desk: Desk) -> None:
        where = "a recording" if desk.player else describe(desk.settings)
        super().__init__(clean(f"msgctl  {where}"), id="masthead", markup=False)
        self._desk = desk

    def draw(self, snapshot: Snapshot, *, frozen: bool) -> None:
        """Show a snapshot's summary."""
        desk = self._desk
        flags = [
            *(["FROZEN (p)"] if frozen else []),
            *(["READ-ONLY"] if desk.read_only else []),
            *(["recording"] if desk.recorder else []),
            f"RECORDING PLAYED {desk.player.position}" if desk.player else f"every {desk.interval:g} s",
        ]
        where = describe(desk.settings) if not desk.player else ""
        first = clean(f"msgctl  {clock(snapshot.at, date=True)} UTC  {', '.join(flags)}  {where}")
        verdict = "OK" if snapshot.health.healthy else "!!"
        second = f"{verdict}  {_counts(snapshot.health.stats, count)}"
        if len(second) > self.size.width - 2:
            second = f"{verdict}  {_counts(snapshot.health.stats, short)}"
        self.update(f"{first}\n{second}")


def _counts(stats: Stats | None, shape: Callable[[float], str]) -> str:
    return "  ".join(f"{name} {shape(getattr(stats, name))}" for name in STATES) if stats else ""


class Banner(Static):
    """A line that is there while something the pipeline needs is gone."""

    def __init__(self) -> None:
        super().__init__("", id="banner", markup=False)
        self.display = False

    def tell(self, troubles: list[str], *, last_good: float | None, now: float) -> None:
        """Name what is gone and when it was last seen well; none hides the banner.

        Args:
            troubles: a sentence each.
            last_good: Unix seconds of the last whole look; None: there was none.
            now: Unix seconds.
        """
        self.display = bool(troubles)
        if troubles:
            since = (
                f"last good {clock(last_good * 1000)} UTC, {format_duration(now - last_good)} ago"
                if last_good
                else "never good yet"
            )
            self.update(clean(f"!! {since}; it is tried again. {' '.join(troubles)}"))
