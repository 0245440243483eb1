"""The overview: priorities, throughput, and everything that may be wrong, on one screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from msgctl.durations import format_duration
from msgctl.operations.snapshot import BUCKETS, PriorityRow, Snapshot
from msgctl.tui.screens.facts import facts
from msgctl.tui.text import count, rate, sparkline, wrapped
from msgctl.tui.widgets.chart import Chart, stretch
from msgctl.tui.widgets.pane import Pane
from msgctl.tui.widgets.table import HIDDEN, ROOMY, Heading, Row, Table

HEADINGS = (
    Heading("pri", 3, right=True),
    Heading("waiting", 9, right=True),
    Heading("active", 6, right=True, narrow=HIDDEN),
    Heading("delayed", 7, right=True, narrow=HIDDEN),
    Heading("oldest", 6, right=True),
    Heading("in/s", 6, right=True),
    Heading("out/s", 6, right=True),
    Heading("answered, 5 min", 0),
)


class OverviewPane(Pane):
    """The first tab."""

    LABEL = "Overview"
    SUMMARY = "counts, priorities, throughput, health"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("j k g G", "move among the priorities"),
        ("Enter", "the messages of this priority"),
    )
    WORDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("in/s out/s", "messages that came and that ended a second, over the last half minute"),
        ("oldest", "how long the next message of this priority has waited"),
        ("p50 p95", "how long n8n took for the newest answers: half of them at most, 95 % at most"),
        (
            "dead letters",
            "those of the last 5 min that are still dead, a point for each 10 s; one replayed leaves",
        ),
        ("to deliver", "replies that no customer has yet"),
    )

    def compose(self) -> ComposeResult:
        """Priorities above, chart and facts below."""
        yield Table(*HEADINGS, id="priorities")
        with Horizontal(id="below"):
            yield Chart(id="chart", markup=False)
            with VerticalScroll(id="facts-scroll", can_focus=False):
                yield Static(id="facts", markup=False)

    async def look(self, snapshot: Snapshot) -> None:
        """Show the snapshot."""
        peak = max((max(row.trend) for row in snapshot.priorities), default=1)
        table = self.query_one(Table)
        width = max(1, table.room // BUCKETS) * BUCKETS  # a whole number of cells a bucket: bars of even width
        table.show(_row(row, peak, width) for row in snapshot.priorities)
        self.query_one(Chart).draw(snapshot.answered, snapshot.failed)
        said = self.query_one("#facts", Static)
        lines = facts(snapshot, compact=self.size.width < ROOMY)
        said.update("\n".join(piece for line in lines for piece in wrapped(line, max(20, said.size.width))))


def _row(row: PriorityRow, peak: int, width: int) -> Row:
    counts = (row.priority, count(row.waiting), count(row.active), count(row.delayed))
    speeds = (format_duration(row.oldest), rate(row.rate_in), rate(row.rate_out))
    return Row(str(row.priority), (*counts, *speeds, sparkline(stretch(row.trend, width), peak)))
