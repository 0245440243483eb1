"""The channels with their backlogs, and the circuit breakers of the workflows."""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from msgctl.domain.errors import MsgctlError
from msgctl.domain.messages import Channel
from msgctl.domain.times import format_duration
from msgctl.operations.channels import Channels
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.formatting import format_count, format_time
from msgctl.tui.views.status_lines import breaker_state, channel_state
from msgctl.tui.widgets.dialogs import ConfirmDialog
from msgctl.tui.widgets.tab_pane import Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

CHANNEL_HEADINGS = (
    ColumnHeading("channel", 9),
    ColumnHeading("configured", 10),
    ColumnHeading("state", 34, narrow=18),
    ColumnHeading("to deliver", 10, right=True),
    ColumnHeading("held", 7, right=True),
    ColumnHeading("next send", 9, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("failed at", 9, narrow=HIDDEN_WIDTH),
    ColumnHeading("last error", 0),
)
BREAKER_HEADINGS = (
    ColumnHeading("workflow", 40, narrow=24),
    ColumnHeading("breaker", 22),
    ColumnHeading("openings", 8, right=True),
    ColumnHeading("", 0),
)


class ChannelsPane(Pane):
    """The sixth tab."""

    LABEL = "Channels"
    SUMMARY = "the channels, and the circuit breakers of the workflows"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("P", "pause this channel, so that its responses wait; asks first"),
        ("R", "resume this channel; asks first"),
        ("Tab", "go to the breakers, or back"),
        ("c", "copy its name"),
    )
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = (
        ("PAUSED", "by an operator, or because its credentials are refused (the reason follows)"),
        ("BROKEN", "its provider keeps failing; sends resume after a while"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "pause_channel", "Pause channel"),
        Binding("R", "resume_channel", "Resume"),
    ]

    def compose(self) -> ComposeResult:
        """Compose two tables."""
        yield make_caption()
        yield Table(*CHANNEL_HEADINGS, id="channels")
        yield Table(*BREAKER_HEADINGS, id="breakers")
        yield make_detail()

    async def refresh_data(self, snapshot: Snapshot) -> None:
        """Show the channels, and the circuit breakers that are not closed."""
        partial = "+" * snapshot.backlog_is_partial
        more = (
            {}
            if self.dashboard_context.player
            else {one.channel: one for one in await self.dashboard_context.context.get(Channels).list()}
        )
        rows = []
        for row in snapshot.channels:
            known = more.get(row.channel)
            ready = ("yes" if known.configured else "no") if known else "-"
            wait = (known.next_send or 0) / 1000 - self.dashboard_context.clock() if known else 0
            facts = (
                format_count(known.held) if known else "-",
                format_duration(wait) if wait > 0 else "-",
                format_time(known.failed_at) if known else "-",
                " ".join(filter(None, (known.last_error, known.advice))) if known else "",
            )
            rows.append(
                TableRow(
                    row.channel,
                    (row.channel, ready, channel_state(row), f"{format_count(row.backlog)}{partial}", *facts),
                )
            )
        self.query_one("#channels", Table).show_rows(rows)
        breakers = self.query_one("#breakers", Table)
        breakers.show_rows(
            TableRow(row.workflow, (row.workflow, breaker_state(row), row.openings, ""))
            for row in snapshot.breakers
        )
        breakers.display = bool(snapshot.breakers)
        closed = f"{len(snapshot.breakers)} breakers not closed" if snapshot.breakers else "all breakers closed"
        self.set_caption(f"{format_count(snapshot.undelivered)} to deliver in all; {closed}")

    def action_pause_channel(self) -> None:
        """Pause the channel under the cursor, after a confirmation."""
        self._pause_or_resume("pause")

    def action_resume_channel(self) -> None:
        """Resume the channel under the cursor, after a confirmation."""
        self._pause_or_resume("resume")

    @work
    async def _pause_or_resume(self, act: str) -> None:
        name = self.query_one("#channels", Table).selected_key
        if self.refuse_if_read_only() or name is None:
            return
        if name == Channel.WEB:
            self.notify("Channel web cannot be paused: its replies go to open sockets.")
            return
        question = {
            "pause": f"Channel {name} will be paused, and its responses wait until it is resumed. Continue?",
            "resume": f"Channel {name} will send the responses that wait. Continue?",
        }[act]
        if not await self.app.push_screen_wait(ConfirmDialog(question)):
            return
        channels = self.dashboard_context.context.get(Channels)
        try:
            changed = await (channels.pause if act == "pause" else channels.resume)(Channel(name))
            if changed:
                await self.dashboard_context.record_action(f"channel {act}", [name])
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
            return
        self.notify(f"{name}: {act}d." if changed else f"{name} was already {act}d.")
        await self.app.run_action("look")
