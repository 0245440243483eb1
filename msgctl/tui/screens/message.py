"""One message in full: where it is, how it got there, and its conversation."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from msgctl.domain.errors import MsgctlError
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.messages.lookup import Messages
from msgctl.tui.context import DashboardContext
from msgctl.tui.formatting import wrap_line
from msgctl.tui.views.message_detail import message_lines, parse_rfc3339_ms

NEARBY_EVENTS = 500
"""Number of ledger events read after the acceptance, and from the end."""


class MessageScreen(ModalScreen[None]):
    """Shows a message and follows it until the screen is closed.

    Args:
        dashboard_context: the pipeline.
        message_id: the message.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back"),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
        Binding("space", "page(1)", "Page down", show=False),
        Binding("b", "page(-1)", "Page up", show=False),
        Binding("g", "scroll(-9999)", "Top", show=False),
        Binding("G", "scroll(9999)", "Bottom", show=False),
        Binding("c", "copy", "Copy the id"),
    ]

    def __init__(self, dashboard_context: DashboardContext, message_id: str) -> None:
        super().__init__()
        self._dashboard_context = dashboard_context
        self._message_id = message_id
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        """Compose one scrollable text."""
        with VerticalScroll(classes="dialog whole"):
            yield Static(id="story", markup=False)

    async def on_mount(self) -> None:
        """Refresh now, and at each interval."""
        self.query_one(VerticalScroll).border_title = "message"
        self.query_one(VerticalScroll).border_subtitle = "Esc back  j k Space b g G scroll  c copy the id"
        await self.refresh_data()
        self.set_interval(self._dashboard_context.interval_s, self.refresh_data)

    async def refresh_data(self) -> None:
        """Read the message and show it."""
        try:
            found = await self._dashboard_context.context.get(Messages).show(self._message_id)
            turns = await self._dashboard_context.context.get(Messages).history(found["conversationId"])
            self._lines = message_lines(found, turns, await self._events(found))
        except MsgctlError as error:
            self._lines = [error.message]
        self.draw()

    def draw(self) -> None:
        """Show the text, wrapped at the width of the screen, with bold titles."""
        width = max(20, self.query_one(VerticalScroll).scrollable_content_region.width)
        story = Text()
        for line in self._lines:
            title = line[:1].isupper() and not line.startswith(("  ", "> "))
            for piece in wrap_line(line, width):
                story.append(f"{piece}\n", style="bold" if title else "")
        self.query_one("#story", Static).update(story)

    def on_resize(self) -> None:
        """Wrap the lines at the new width."""
        self.draw()

    async def _events(self, found: dict[str, Any]) -> list[Event]:
        """Return the events of the message among those after its acceptance and the newest ones."""
        ledger = Ledger(self._dashboard_context.context.redis)
        near = await ledger.read_after(f"{parse_rfc3339_ms(found['createdAt']) - 1}-0", NEARBY_EVENTS)
        events = {event.entry: event for event in [*near, *await ledger.read_newest(NEARBY_EVENTS)]}
        return [event for event in events.values() if event.message_id == self._message_id]

    def action_scroll(self, lines: int) -> None:
        """Scroll the text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll the text by a screen."""
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_relative(y=pages * max(1, scroll.size.height - 2), animate=False)

    def action_copy(self) -> None:
        """Copy the id, over ssh too (OSC 52)."""
        self.app.copy_to_clipboard(self._message_id)
        self.notify("The id is copied.")
