"""The ledger, following: what happened to any message, the newest at the end."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult

from msgctl.events.event import Event
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.text import clock
from msgctl.tui.widgets.pane import NOT_RECORDED, Pane, caption, detail
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

ROWS = 200
HEADINGS = (
    Heading("at", 12),
    Heading("message", 36, narrow=13),
    Heading("what", 16),
    Heading("by", 22, narrow=HIDDEN),
    Heading("evidence", 0),
)


class EventsPane(Pane):
    """The seventh tab."""

    LABEL = "Events"
    SUMMARY = "the ledger, following: what happened to any message"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message"),
        ("G", "to the newest, and follow"),
        ("c", "copy the message's id"),
    )

    def compose(self) -> ComposeResult:
        """How much is shown, and the list."""
        self._events: list[Event] = []
        self._following = True
        yield caption()
        yield Table(*HEADINGS)
        yield detail()

    async def look(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Show the last events; read only those that are new."""
        if self.desk.player:
            self.say(NOT_RECORDED)
            return
        ledger = self.desk.operations.ledger
        if self._events:
            fresh = await ledger.after(self._events[-1].entry)
            self._events = [*self._events, *fresh][-ROWS:] if len(fresh) < ROWS else await ledger.newest(ROWS)
        else:
            self._events = await ledger.newest(ROWS)
        table = self.query_one(Table)
        following = self._following
        table.show(_row(event) for event in self._events)
        if following and table.row_count:
            table.move_cursor(row=table.row_count - 1)
        self.say(f"the last {len(self._events)} events{', following' if following else '; G follows'}")

    @on(Table.RowHighlighted)
    def follow_or_not(self, event: Table.RowHighlighted) -> None:
        """At the last row it follows, elsewhere it stays."""
        self._following = event.cursor_row >= event.data_table.row_count - 1


def _row(event: Event) -> Row:
    evidence = " ".join(f"{name}={value}" for name, value in event.evidence.items())
    at = f"{clock(event.order[0])}.{event.order[0] % 1000:03}"
    cells = (at, event.message_id, event.what, event.actor, evidence)
    return Row(f"{event.entry} {event.message_id}", cells, f"{event.what} by {event.actor}  {evidence}")
