"""The newest deliveries, and what became of each."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations.deliveries import Delivery
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.text import count, moment
from msgctl.tui.widgets.pane import NOT_RECORDED, Pane, caption, detail
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

ROWS = 200
HEADINGS = (
    Heading("at", 8),
    Heading("message", 36, narrow=13),
    Heading("kind", 8, narrow=HIDDEN),
    Heading("channel", 8),
    Heading("state", 8),
    Heading("tries", 5, right=True),
    Heading("came of it", 0),
)


class DeliveriesPane(Pane):
    """The fifth tab."""

    LABEL = "Deliveries"
    SUMMARY = "the newest replies on their way, and what became of each"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message"),
        ("c", "copy the message's id"),
    )
    WORDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("NEW", "it waits for its turn or its next try"),
        ("SENDING", "it is with the provider now"),
        ("SENT", "the provider, or the customer's socket, has it"),
        ("KEPT", "no socket was open; the customer gets it when they come back"),
        ("FAILED", "it was given up: msgctl delivery retry"),
        ("UNKNOWN", "it may have arrived, so it is not repeated by itself"),
    )

    def compose(self) -> ComposeResult:
        """What was looked at, and the list."""
        yield caption()
        yield Table(*HEADINGS, newest_first=True)
        yield detail()

    async def look(self, snapshot: Snapshot) -> None:
        """List the newest entries of the stream."""
        if self.desk.player:
            self.say(NOT_RECORDED)
            return
        found = await self.desk.operations.deliveries.newest(ROWS)
        now = self.desk.clock() * 1000
        self.query_one(Table).show(_row(one, now) for one in found)
        self.say(f"the newest {len(found)} of the stream; {count(snapshot.undelivered)} still to deliver")


def _row(one: Delivery, now: float) -> Row:
    outcome = f"{one.code}: {one.text}" if one.code else one.provider_id or "-"
    state = one.state.upper()
    cells = (moment(one.at, now), one.message_id, one.kind, one.channel, state, one.attempts, outcome)
    return Row(f"{one.stream_id} {one.message_id}", cells)
