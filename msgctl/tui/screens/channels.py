"""The channels of delivery with what waits on each, and the breakers of the workflows."""

from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations import Snapshot
from msgctl.tui.text import count, span
from msgctl.tui.widgets.pane import Pane, caption
from msgctl.tui.widgets.table import Heading, Row, Table

CHANNELS = (Heading("channel", 12), Heading("to deliver", 11, right=True), Heading("", 0))
BREAKERS = (
    Heading("workflow", 40, narrow=24),
    Heading("breaker", 22),
    Heading("openings", 8, right=True),
    Heading("", 0),
)


class ChannelsPane(Pane):
    """The sixth tab."""

    LABEL = "Channels"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("j k g G", "move"),)

    def compose(self) -> ComposeResult:
        """Two lists."""
        yield caption()
        yield Table(*CHANNELS, id="channels")
        yield Table(*BREAKERS, id="breakers")

    async def look(self, snapshot: Snapshot) -> None:
        """Show the snapshot's channels and breakers."""
        partial = " or more" * snapshot.backlog_is_partial
        self.query_one("#channels", Table).show(
            Row(row.channel, (row.channel, f"{count(row.backlog)}{partial}", "")) for row in snapshot.channels
        )
        self.query_one("#breakers", Table).show(
            Row(
                row.workflow,
                (row.workflow, f"OPEN for {span(row.seconds)}" if row.seconds else "HALF-OPEN", row.openings, ""),
            )
            for row in snapshot.breakers
        )
        breakers = f"{len(snapshot.breakers)} breakers not closed" if snapshot.breakers else "all breakers closed"
        self.say(f"{count(snapshot.undelivered)} to deliver in all; {breakers}; this tab changes nothing")
