"""One message, in full: where it is, how it came there, what was said around it."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from msgctl.errors import MsgctlError
from msgctl.messages import Turn
from msgctl.tui.desk import Desk
from msgctl.tui.screens.story import tell


class MessageScreen(ModalScreen[None]):
    """Opens above the tabs and follows the message until it is left.

    Args:
        desk: where the message is.
        message_id: which one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back"),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
        Binding("g,home", "scroll(-9999)", "Top", show=False),
        Binding("G,end", "scroll(9999)", "Bottom", show=False),
        Binding("c", "copy", "Copy the id"),
    ]

    def __init__(self, desk: Desk, message_id: str) -> None:
        super().__init__()
        self._desk = desk
        self._message_id = message_id

    def compose(self) -> ComposeResult:
        """One long text."""
        with VerticalScroll(classes="dialog whole"):
            yield Static(id="story", markup=False)

    async def on_mount(self) -> None:
        """Look at once, and again each interval."""
        self.query_one(VerticalScroll).border_title = "message"
        self.query_one(VerticalScroll).border_subtitle = "Esc back  j k g G scroll  c copy the id"
        await self.look()
        self.set_interval(self._desk.interval, self.look)

    async def look(self) -> None:
        """Read the message and tell of it."""
        try:
            found = await self._desk.operations.messages.show(self._message_id)
            turns = await self._conversation(found)
        except MsgctlError as error:
            self.query_one("#story", Static).update(error.message)
            return
        self.query_one("#story", Static).update("\n".join(tell(found, turns)))

    async def _conversation(self, found: dict[str, Any]) -> list[Turn]:
        return await self._desk.history.read(found["conversationId"])

    def action_scroll(self, lines: int) -> None:
        """Move the text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        """Copy the id, over ssh too (OSC 52)."""
        self.app.copy_to_clipboard(self._message_id)
        self.notify("The id is copied.")
