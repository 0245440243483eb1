"""The overview: priorities, throughput, and problems, on one screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from msgctl.domain.times import format_duration
from msgctl.operations.dashboard.snapshot import BUCKET_COUNT, PriorityRow, Snapshot
from msgctl.tui.formatting import format_count, format_rate, sparkline, wrap_line
from msgctl.tui.views.status_lines import status_lines
from msgctl.tui.widgets.chart import ThroughputChart, stretch_values
from msgctl.tui.widgets.tab_pane import Pane
from msgctl.tui.widgets.table import FULL_WIDTH, HIDDEN_WIDTH, ColumnHeading, Table, TableRow

HEADINGS = (
    ColumnHeading("pri", 3, right=True),
    ColumnHeading("waiting", 9, right=True),
    ColumnHeading("active", 6, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("delayed", 7, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("oldest", 6, right=True),
    ColumnHeading("in/s", 6, right=True),
    ColumnHeading("out/s", 6, right=True),
    ColumnHeading("answered, 5 min", 0),
)


class OverviewPane(Pane):
    """The first tab."""

    LABEL = "Overview"
    SUMMARY = "counts, priorities, throughput, health"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("j k g G", "move between the priorities"),
        ("Enter", "list the messages of this priority"),
    )
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = (
        ("in/s out/s", "accepted and ended messages per second, in the last half minute"),
        ("oldest", "the wait of the next message of this priority"),
        ("p50 p95", "the time of the newest n8n answers: the median and the 95th percentile"),
        (
            "dead letters",
            "dead letters of the last 5 min, one point for each 10 s; a replay removes them",
        ),
        ("to deliver", "replies that are not delivered yet"),
    )

    def compose(self) -> ComposeResult:
        """Compose the priorities above, the chart and the status below."""
        yield Table(*HEADINGS, id="priorities")
        with Horizontal(id="below"):
            yield ThroughputChart(id="chart", markup=False)
            with VerticalScroll(id="facts-scroll", can_focus=False):
                yield Static(id="facts", markup=False)

    async def refresh_data(self, snapshot: Snapshot) -> None:
        """Show the snapshot."""
        peak = max((max(row.trend) for row in snapshot.priorities), default=1)
        table = self.query_one(Table)
        width = (
            max(1, table.flexible_width // BUCKET_COUNT) * BUCKET_COUNT
        )  # a whole number of cells for each bucket, for even bars
        table.show_rows(_row(row, peak, width) for row in snapshot.priorities)
        self.query_one(ThroughputChart).show_counts(snapshot.answered, snapshot.failed)
        said = self.query_one("#facts", Static)
        lines = status_lines(snapshot, compact=self.size.width < FULL_WIDTH)
        said.update("\n".join(piece for line in lines for piece in wrap_line(line, max(20, said.size.width))))


def _row(row: PriorityRow, peak: int, width: int) -> TableRow:
    counts = (row.priority, format_count(row.waiting), format_count(row.active), format_count(row.delayed))
    speeds = (format_duration(row.oldest), format_rate(row.rate_in), format_rate(row.rate_out))
    return TableRow(str(row.priority), (*counts, *speeds, sparkline(stretch_values(row.trend, width), peak)))
