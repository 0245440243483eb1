"""The newest deliveries and their outcomes."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.operations.deliveries import Deliveries, DeliverySummary
from msgctl.tui.formatting import format_count, format_moment
from msgctl.tui.widgets.tab_pane import NOT_RECORDED, Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

MAX_ROWS = 200
HEADINGS = (
    ColumnHeading("at", 8),
    ColumnHeading("message", 36, narrow=13),
    ColumnHeading("kind", 8, narrow=HIDDEN_WIDTH),
    ColumnHeading("channel", 8),
    ColumnHeading("state", 8),
    ColumnHeading("tries", 5, right=True),
    ColumnHeading("came of it", 0),
)


class DeliveriesPane(Pane):
    """The fifth tab."""

    LABEL = "Deliveries"
    SUMMARY = "the newest deliveries and their outcomes"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message"),
        ("c", "copy the message's id"),
    )
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = (
        ("NEW", "it waits for its first or next attempt"),
        ("SENDING", "it is being sent"),
        ("SENT", "the provider or the customer's socket received it"),
        ("KEPT", "no socket was open; the customer gets it on reconnect"),
        ("FAILED", "it failed; to send it again: msgctl delivery retry"),
        ("UNKNOWN", "it may have arrived, so it is not sent again automatically"),
    )

    def compose(self) -> ComposeResult:
        """Compose the caption and the table."""
        yield make_caption()
        yield Table(*HEADINGS, newest_first=True)
        yield make_detail()

    async def refresh_data(self, snapshot: Snapshot) -> None:
        """List the newest entries of the response stream."""
        if self.dashboard_context.player:
            self.set_caption(NOT_RECORDED)
            return
        found = await self.dashboard_context.context.get(Deliveries).newest(MAX_ROWS)
        now = self.dashboard_context.clock() * 1000
        self.query_one(Table).show_rows(_row(one, now) for one in found)
        self.set_caption(
            f"the newest {len(found)} of the stream; {format_count(snapshot.undelivered)} still to deliver"
        )


def _row(one: DeliverySummary, now: float) -> TableRow:
    outcome = f"{one.code}: {one.text}" if one.code else one.provider_id or "-"
    state = one.state.upper()
    cells = (format_moment(one.at, now), one.message_id, one.kind, one.channel, state, one.attempts, outcome)
    return TableRow(f"{one.stream_id} {one.message_id}", cells)
