"""The overview: priorities, throughput, and everything that may be wrong, on one screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from msgctl.operations import Snapshot
from msgctl.operations.snapshot import PriorityRow
from msgctl.tui.text import clean, count, rate, span, sparkline
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


def facts(snapshot: Snapshot) -> list[str]:
    """Health with its reasons, workers, channels, breakers and answer times, a line each."""
    health = snapshot.health
    slots = sum(worker.slots or 0 for worker in snapshot.workers)
    busy = sum(len(worker.running) for worker in snapshot.workers)
    times = snapshot.answer_times
    lines = ["OK healthy" if health.healthy else "!! NOT HEALTHY"]
    lines += [f" ! {reason.message}" for reason in health.reasons]
    lines.append(f"workers {len(snapshot.workers)}, slots in use {busy} of {slots}")
    lines += [
        f" {gauge(len(worker.running), worker.slots)} {worker.name} {worker.state}" for worker in snapshot.workers
    ]
    if times:
        lines.append(f"n8n p50 {times.p50:,} ms, p95 {times.p95:,} ms (last {times.count}, claim to commit)")
    else:
        lines.append("n8n p50 -, p95 - (no answer yet)")
    lines.append(
        f"to deliver {count(snapshot.undelivered)}{' (channels: of the first)' * snapshot.backlog_is_partial}"
    )
    lines.append(" " + "  ".join(f"{row.channel} {row.backlog}" for row in snapshot.channels))
    lines.append(f"breakers: {'all closed' if not snapshot.breakers else ''}")
    lines += [
        f" {row.workflow} {f'OPEN for {span(row.seconds)}' if row.seconds else 'HALF-OPEN, probing'}"
        for row in snapshot.breakers
    ]
    return [clean(line) for line in lines]


def gauge(used: int, slots: int | None) -> str:
    """Slots in use as a bar of at most ten and as numbers."""
    if not slots:
        return f"{used}/?"
    filled = min(10, -(-used * 10 // slots))
    return f"[{'#' * filled}{'.' * (10 - filled)}] {used}/{slots}"


def _row(row: PriorityRow, peak: int) -> Row:
    cells = (row.priority, count(row.waiting), span(row.oldest), rate(row.rate_in), rate(row.rate_out))
    return Row(str(row.priority), (*cells, sparkline(row.trend, peak)))
