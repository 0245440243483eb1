"""The overview: priorities, throughput, and everything that may be wrong, on one screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from msgctl.operations import Snapshot
from msgctl.operations.snapshot import PriorityRow
from msgctl.tui.screens.facts import facts
from msgctl.tui.text import count, rate, span, sparkline
from msgctl.tui.widgets.chart import Chart
from msgctl.tui.widgets.pane import Pane
from msgctl.tui.widgets.table import Heading, Row, Table

HEADINGS = (
    Heading("pri", 3, right=True),
    Heading("waiting", 9, right=True),
    Heading("oldest", 6, right=True),
    Heading("in/s", 6, right=True),
    Heading("out/s", 6, right=True),
    Heading("answered, 5 min", 0),
)


class OverviewPane(Pane):
    """The first tab."""

    LABEL = "Overview"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("j k g G", "move among the priorities"),)

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
        self.query_one(Table).show(_row(row, peak) for row in snapshot.priorities)
        self.query_one(Chart).draw(snapshot.answered, snapshot.failed)
        self.query_one("#facts", Static).update("\n".join(facts(snapshot)))


def _row(row: PriorityRow, peak: int) -> Row:
    cells = (row.priority, count(row.waiting), span(row.oldest), rate(row.rate_in), rate(row.rate_out))
    return Row(str(row.priority), (*cells, sparkline(row.trend, peak)))
