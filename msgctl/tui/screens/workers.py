"""The workers that are alive, and what each has in hand."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations.snapshot import Snapshot
from msgctl.tui.screens.facts import gauge
from msgctl.tui.widgets.pane import Pane, caption, detail
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

HEADINGS = (
    Heading("name", 34, narrow=22),
    Heading("state", 9),
    Heading("slots in use", 13),
    Heading("host", 14, narrow=HIDDEN),
    Heading("pid", 7, right=True, narrow=HIDDEN),
    Heading("seen", 8),
    Heading("runs", 0),
)


class WorkersPane(Pane):
    """The fourth tab."""

    LABEL = "Workers"
    SUMMARY = "who is alive, and what each has in hand"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("c", "copy the worker's name"),)
    WORDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("slots in use", "messages it works now, of those it works at once"),
        ("seen", "its last sign of life; a silent one is taken off and its messages go to others"),
    )

    def compose(self) -> ComposeResult:
        """A list."""
        yield caption()
        yield Table(*HEADINGS)
        yield detail()

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
        self.say(f"{len(snapshot.workers)} alive; msgctl worker drains, resumes and stops them")
