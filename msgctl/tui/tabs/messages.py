"""The messages, with a filter."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import State
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.operations.messages.query import QUERY_WORDS, parse_query
from msgctl.operations.messages.search import MessageSearch, Summary
from msgctl.tui.formatting import format_count, format_moment
from msgctl.tui.widgets.tab_pane import NOT_RECORDED, Pane, make_caption
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

MAX_ROWS = 200
MAX_READ = 600
"""Maximum number of messages that one search reads."""
HEADINGS = (
    ColumnHeading("id", 36, narrow=13),
    ColumnHeading("state", 9),
    ColumnHeading("%", 3, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("pri", 3, right=True),
    ColumnHeading("channel", 8),
    ColumnHeading("tries", 5, right=True),
    ColumnHeading("since", 8),
    ColumnHeading("user", 14, narrow=HIDDEN_WIDTH),
    ColumnHeading("last error", 0),
)
FILTER_HINT = f"{': '.join(QUERY_WORDS)}: or an id"


class MessagesPane(Pane):
    """The second tab."""

    LABEL = "Messages"
    SUMMARY = "the newest messages, with a filter"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("/", f"filter: {FILTER_HINT}; e.g. state:failed since:15m"),
        ("Enter", "open the message"),
        ("c", "copy its id"),
        ("Esc", "remove the filter"),
    )
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = (
        ("tries", "attempts, with the successful one; waiting for a dependency does not count"),
        ("since", "when it ended, became ready, or was accepted"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "filter", "Filter", key_display="/")]

    applied_filter = ""
    """The filter that is applied, without text that is still being typed."""

    def compose(self) -> ComposeResult:
        """Compose the filter, the caption, and the table."""
        yield Input(placeholder=FILTER_HINT, id="filter")
        yield make_caption()
        yield Table(*HEADINGS, newest_first=True)

    def on_mount(self) -> None:
        """Hide the filter until it is used."""
        self.query_one(Input).display = False

    async def refresh_data(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """List the messages that match the filter."""
        if self.dashboard_context.player:
            self.set_caption(NOT_RECORDED)
            return
        typing = "; Enter applies the filter, Esc takes it away" * self.query_one(Input).has_focus
        try:
            found = await self.dashboard_context.context.get(MessageSearch).newest(
                parse_query(self.applied_filter), MAX_ROWS, MAX_READ
            )
        except InvalidInput as error:
            self.query_one(Table).show_rows([])
            self.set_caption(f"{error.message}{typing}")
            return
        now = self.dashboard_context.clock() * 1000
        self.query_one(Table).show_rows(_row(item, now) for item in found.items)
        looked = f"looked through {format_count(found.looked_at)} of {format_count(found.total)}"
        shown = f"{len(found.items)}{'' if len(found.items) < MAX_ROWS else ' (the newest)'}"
        self.set_caption(
            f"{f'[{self.applied_filter}] ' if self.applied_filter else ''}{shown} shown; {looked}{typing}"
        )

    def filter_by(self, text: str) -> None:
        """Apply a filter."""
        self.applied_filter = text
        field = self.query_one(Input)
        field.value = text
        field.display = bool(text)

    def go_back(self) -> bool:
        """Handle Esc: remove the filter."""
        field = self.query_one(Input)
        if not field.display:
            return False
        self.filter_by("")
        self.focus_first()
        return True  # the app refreshes

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one(Input)
        field.display = True
        self.screen.set_focus(field)  # immediately, because the next key belongs to it

    @on(Input.Submitted)
    def apply_filter(self, event: Input.Submitted) -> None:
        """Apply the filter that was entered, and focus the table."""
        event.stop()
        self.filter_by(event.value.strip())
        self.focus_first()
        self.call_later(self.app.run_action, "look")


def _row(item: Summary, now: float) -> TableRow:
    cells = (item.message_id, item.state, item.progress, item.priority, item.channel, item.attempts)
    # An error that preceded the answer is not shown.
    error = "" if item.state is State.COMPLETED else (item.error or {}).get("code", "")
    return TableRow(item.message_id, (*cells, format_moment(item.at, now), item.user_id, error or "-"))
