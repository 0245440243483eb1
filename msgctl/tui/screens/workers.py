"""The workers that are alive, and what each has in hand."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations import Snapshot
from msgctl.tui.screens.facts import gauge
from msgctl.tui.widgets.pane import Pane, caption
from msgctl.tui.widgets.table import Heading, Row, Table

HEADINGS = (
    Heading("name", 34, narrow=22),
    Heading("state", 9, narrow=5),
    Heading("slots in use", 20, narrow=14),
    Heading("host", 12, narrow=4),
    Heading("pid", 8, right=True, narrow=6),
    Heading("seen", 8),
    Heading("runs", 0),
)


class WorkersPane(Pane):
    """The fourth tab."""

    LABEL = "Workers"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("c", "copy the worker's name"),)

    def compose(self) -> ComposeResult:
        """A list."""
        yield caption()
        yield Table(*HEADINGS)

    async def look(self, snapshot: Snapshot) -> None:
        """Show the snapshot's workers."""
        self.query_one(Table).show(
            Row(
                one.name,
                (
                    *(one.name, one.state, gauge(len(one.running), one.slots), one.host, one.pid or "-"),
                    *(one.last_seen[11:19] or "-", " ".join(one.running) or "-"),
                ),
            )
            for one in snapshot.workers
        )
        self.say(f"{len(snapshot.workers)} alive; drain, resume and stop them by msgctl worker")
