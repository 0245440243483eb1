"""The live workers and the messages that they run."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.views.status_lines import slots_gauge
from msgctl.tui.widgets.tab_pane import Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

HEADINGS = (
    ColumnHeading("name", 34, narrow=22),
    ColumnHeading("state", 9),
    ColumnHeading("slots in use", 13),
    ColumnHeading("host", 14, narrow=HIDDEN_WIDTH),
    ColumnHeading("pid", 7, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("seen", 8),
    ColumnHeading("runs", 0),
)


class WorkersPane(Pane):
    """The fourth tab."""

    LABEL = "Workers"
    SUMMARY = "the live workers and the messages that they run"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("c", "copy the worker's name"),)
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = (
        ("slots in use", "messages that it runs, of its maximum"),
        ("seen", "its last heartbeat; the messages of a dead worker go to others"),
    )

    def compose(self) -> ComposeResult:
        """Compose the table."""
        yield make_caption()
        yield Table(*HEADINGS)
        yield make_detail()

    async def refresh_data(self, snapshot: Snapshot) -> None:
        """Show the workers of the snapshot."""
        self.query_one(Table).show_rows(
            TableRow(
                one.name,
                (
                    *(one.name, one.state, slots_gauge(len(one.running), one.slots), one.host, one.pid or "-"),
                    *(one.last_seen[11:19] or "-", " ".join(one.running) or "-"),
                ),
            )
            for one in snapshot.workers
        )
        self.set_caption(f"{len(snapshot.workers)} alive; to drain, resume, or stop: msgctl worker")
