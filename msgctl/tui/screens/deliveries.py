"""The newest deliveries, and what became of each."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations import Snapshot
from msgctl.operations.deliveries import Delivery
from msgctl.tui.text import clock, count
from msgctl.tui.widgets.pane import NOT_RECORDED, Pane, caption
from msgctl.tui.widgets.table import Heading, Row, Table

ROWS = 200
HEADINGS = (
    Heading("at", 8),
    Heading("message", 36, narrow=13),
    Heading("kind", 8),
    Heading("channel", 8),
    Heading("state", 8),
    Heading("tries", 5, right=True),
    Heading("provider's id, or what went wrong", 0),
)


class DeliveriesPane(Pane):
    """The fifth tab."""

    LABEL = "Deliveries"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message"),
        ("c", "copy the message's id"),
    )

    def compose(self) -> ComposeResult:
        """What was looked at, and the list."""
        yield caption()
        yield Table(*HEADINGS)

    async def look(self, snapshot: Snapshot) -> None:
        """List the newest entries of the stream."""
        if self.desk.player:
            self.say(NOT_RECORDED)
            return
        found = await self.desk.operations.deliveries.newest(ROWS)
        self.query_one(Table).show(_row(one) for one in found)
        self.say(f"the newest {len(found)} of the stream; {count(snapshot.undelivered)} still to deliver")


def _row(one: Delivery) -> Row:
    outcome = f"{one.code}: {one.text}" if one.code else one.provider_id or "-"
    cells = (clock(one.at), one.message_id, one.kind, one.channel, one.state, one.attempts, outcome)
    return Row(f"{one.stream_id} {one.message_id}", cells)
