"""The messages, by filter."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from msgctl.errors import InvalidInput
from msgctl.messages import State
from msgctl.operations.listing import Item
from msgctl.operations.query import WORDS, parse_query
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.text import count, moment
from msgctl.tui.widgets.pane import NOT_RECORDED, Pane, caption
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

ROWS = 200
HEADINGS = (
    Heading("id", 36, narrow=13),
    Heading("state", 9),
    Heading("%", 3, right=True, narrow=HIDDEN),
    Heading("pri", 3, right=True),
    Heading("channel", 8),
    Heading("tries", 5, right=True),
    Heading("since", 8),
    Heading("user", 14, narrow=HIDDEN),
    Heading("last error", 0),
)
HINT = f"{': '.join(WORDS)}: or an id"


class MessagesPane(Pane):
    """The second tab."""

    LABEL = "Messages"
    SUMMARY = "the newest, by filter; each with its story"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("/", f"filter: {HINT}; e.g. state:failed since:15m"),
        ("Enter", "open the message"),
        ("c", "copy its id"),
        ("Esc", "take the filter away"),
    )
    WORDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("tries", "attempts, the one that was answered too; waits for something that is down do not count"),
        ("since", "when it ended, else since when it is ready, else when it was accepted"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "filter", "Filter", key_display="/")]

    words = ""
    """The filter that is applied; what is being typed is not yet."""

    def compose(self) -> ComposeResult:
        """A filter that is there when it is used, what was looked at, and the list."""
        yield Input(placeholder=HINT, id="filter")
        yield caption()
        yield Table(*HEADINGS, newest_first=True)

    def on_mount(self) -> None:
        """The filter is hidden until it is asked for."""
        self.query_one(Input).display = False

    async def look(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """List what answers to the filter."""
        if self.desk.player:
            self.say(NOT_RECORDED)
            return
        typing = "; Enter applies the filter, Esc takes it away" * self.query_one(Input).has_focus
        try:
            found = await self.desk.operations.listing.find(parse_query(self.words), ROWS)
        except InvalidInput as error:
            self.query_one(Table).show([])
            self.say(f"{error.message}{typing}")
            return
        now = self.desk.clock() * 1000
        self.query_one(Table).show(_row(item, now) for item in found.items)
        looked = f"looked through {count(found.looked_at)} of {count(found.total)}"
        shown = f"{len(found.items)}{'' if len(found.items) < ROWS else ' (the newest)'}"
        self.say(f"{f'[{self.words}] ' if self.words else ''}{shown} shown; {looked}{typing}")

    def filter_by(self, text: str) -> None:
        """Set the filter."""
        self.words = text
        field = self.query_one(Input)
        field.value = text
        field.display = bool(text)

    def leave(self) -> bool:
        """Esc takes the filter away."""
        field = self.query_one(Input)
        if not field.display:
            return False
        self.filter_by("")
        self.focus_first()
        return True  # the app looks again

    def action_filter(self) -> None:
        """Ask for a filter."""
        field = self.query_one(Input)
        field.display = True
        self.screen.set_focus(field)  # at once: what is typed next belongs to it

    @on(Input.Submitted)
    def go_on(self, event: Input.Submitted) -> None:
        """Enter in the filter goes to the list."""
        event.stop()
        self.filter_by(event.value.strip())
        self.focus_first()
        self.call_later(self.app.run_action, "look")


def _row(item: Item, now: float) -> Row:
    cells = (item.message_id, item.state, item.progress, item.priority, item.channel, item.attempts)
    error = "" if item.state is State.COMPLETED else item.error  # what it met before it was answered is over
    return Row(item.message_id, (*cells, moment(item.at, now), item.user_id, error or "-"))
