"""The channels of delivery with what waits on each, and the breakers of the workflows."""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from msgctl.durations import format_duration
from msgctl.errors import MsgctlError
from msgctl.messages import Channel
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.screens.facts import breaker_state, channel_state
from msgctl.tui.text import clock, count
from msgctl.tui.widgets.pane import Pane, caption, detail
from msgctl.tui.widgets.questions import Confirmation
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

CHANNELS = (
    Heading("channel", 9),
    Heading("configured", 10),
    Heading("state", 34, narrow=18),
    Heading("to deliver", 10, right=True),
    Heading("held", 7, right=True),
    Heading("next send", 9, right=True, narrow=HIDDEN),
    Heading("failed at", 9, narrow=HIDDEN),
    Heading("last error", 0),
)
BREAKERS = (
    Heading("workflow", 40, narrow=24),
    Heading("breaker", 22),
    Heading("openings", 8, right=True),
    Heading("", 0),
)


class ChannelsPane(Pane):
    """The sixth tab."""

    LABEL = "Channels"
    SUMMARY = "the ways to a customer, and the breakers of the workflows"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("P", "pause this channel: what is for it is held, nothing is lost; asks first"),
        ("R", "resume it, whatever stopped it; asks first"),
        ("Tab", "to the breakers, and back"),
        ("c", "copy its name"),
    )
    WORDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("PAUSED", "by a person, or because its credentials are refused (the reason stands behind it)"),
        ("BROKEN", "its provider keeps failing; it is left alone for a while and tried again"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "pause_channel", "Pause channel"),
        Binding("R", "resume_channel", "Resume"),
    ]

    def compose(self) -> ComposeResult:
        """Two lists."""
        yield caption()
        yield Table(*CHANNELS, id="channels")
        yield Table(*BREAKERS, id="breakers")
        yield detail()

    async def look(self, snapshot: Snapshot) -> None:
        """Show the channels and the breakers that are not closed."""
        partial = "+" * snapshot.backlog_is_partial
        more = {} if self.desk.player else {one.channel: one for one in await self.desk.operations.channels.list()}
        rows = []
        for row in snapshot.channels:
            known = more.get(row.channel)
            ready = ("yes" if known.configured else "no") if known else "-"
            wait = (known.next_send or 0) / 1000 - self.desk.clock() if known else 0
            facts = (
                count(known.held) if known else "-",
                format_duration(wait) if wait > 0 else "-",
                clock(known.failed_at) if known else "-",
                " ".join(filter(None, (known.last_error, known.advice))) if known else "",
            )
            rows.append(
                Row(
                    row.channel, (row.channel, ready, channel_state(row), f"{count(row.backlog)}{partial}", *facts)
                )
            )
        self.query_one("#channels", Table).show(rows)
        breakers = self.query_one("#breakers", Table)
        breakers.show(
            Row(row.workflow, (row.workflow, breaker_state(row), row.openings, "")) for row in snapshot.breakers
        )
        breakers.display = bool(snapshot.breakers)
        closed = f"{len(snapshot.breakers)} breakers not closed" if snapshot.breakers else "all breakers closed"
        self.say(f"{count(snapshot.undelivered)} to deliver in all; {closed}")

    def action_pause_channel(self) -> None:
        """Pause the channel under the cursor, after a question."""
        self._switch("pause")

    def action_resume_channel(self) -> None:
        """Let it go on, after a question."""
        self._switch("resume")

    @work
    async def _switch(self, act: str) -> None:
        name = self.query_one("#channels", Table).chosen
        if self.refuse() or name is None:
            return
        if name == Channel.WEB:
            self.notify("Channel web goes to the sockets that are open; there is nothing to stop.")
            return
        question = {
            "pause": f"Channel {name} will be paused: what is for it is held until it is resumed. Go on?",
            "resume": f"Channel {name} will go on and send what it holds. Go on?",
        }[act]
        if not await self.app.push_screen_wait(Confirmation(question)):
            return
        channels = self.desk.operations.channels
        try:
            changed = await (channels.pause if act == "pause" else channels.resume)(Channel(name))
            if changed:
                await self.desk.note(f"channel {act}", [name])
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
            return
        self.notify(f"{name}: {act}d." if changed else f"{name} was so already.")
        await self.app.run_action("look")
