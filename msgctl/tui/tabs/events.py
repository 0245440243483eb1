"""The ledger as it grows, with the newest event at the end."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult

from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.formatting import format_time
from msgctl.tui.widgets.tab_pane import NOT_RECORDED, Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

MAX_ROWS = 200
HEADINGS = (
    ColumnHeading("at", 12),
    ColumnHeading("message", 36, narrow=13),
    ColumnHeading("what", 16),
    ColumnHeading("by", 22, narrow=HIDDEN_WIDTH),
    ColumnHeading("evidence", 0),
)


class EventsPane(Pane):
    """The seventh tab."""

    LABEL = "Events"
    SUMMARY = "the events of all messages, as they happen"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message"),
        ("G", "go to the newest, and follow"),
        ("c", "copy the message's id"),
    )

    def compose(self) -> ComposeResult:
        """Compose the caption and the table."""
        self._events: list[Event] = []
        self._following = True
        yield make_caption()
        yield Table(*HEADINGS)
        yield make_detail()

    async def refresh_data(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Show the last events. Only new events are read."""
        if self.dashboard_context.player:
            self.set_caption(NOT_RECORDED)
            return
        ledger = Ledger(self.dashboard_context.context.redis)
        if self._events:
            fresh = await ledger.read_after(self._events[-1].entry)
            self._events = (
                [*self._events, *fresh][-MAX_ROWS:]
                if len(fresh) < MAX_ROWS
                else await ledger.read_newest(MAX_ROWS)
            )
        else:
            self._events = await ledger.read_newest(MAX_ROWS)
        table = self.query_one(Table)
        following = self._following
        table.show_rows(_row(event) for event in self._events)
        if following and table.row_count:
            table.move_cursor(row=table.row_count - 1)
        self.set_caption(f"the last {len(self._events)} events{', following' if following else '; G follows'}")

    @on(Table.RowHighlighted)
    def update_following(self, event: Table.RowHighlighted) -> None:
        """Follow new events while the cursor is in the last row."""
        self._following = event.cursor_row >= event.data_table.row_count - 1


def _row(event: Event) -> TableRow:
    evidence = " ".join(f"{name}={value}" for name, value in event.evidence.items())
    at = f"{format_time(event.position[0])}.{event.position[0] % 1000:03}"
    cells = (at, event.message_id, event.what, event.actor, evidence)
    return TableRow(f"{event.entry} {event.message_id}", cells, f"{event.what} by {event.actor}  {evidence}")
