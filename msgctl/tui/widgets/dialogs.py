"""Dialogs: a confirmation, and a text editor."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static, TextArea

from msgctl.tui.formatting import sanitize


class ConfirmDialog(ModalScreen[bool]):
    """Asks for a confirmation. Only `y` or its button confirms.

    Args:
        question: what is about to happen, with the number of things it concerns.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Compose the question, with "no" as the default."""
        with Vertical(classes="dialog"):
            yield Static(sanitize(self._question), markup=False)
            with Horizontal():
                yield Button("No (Esc)", id="no")
                yield Button("Yes (y)", id="yes", variant="error")

    @on(Button.Pressed)
    def press(self, event: Button.Pressed) -> None:
        """Answer with a button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - the answer itself
        """Answer with a key."""
        self.dismiss(answer)


class EditDialog(ModalScreen[str | None]):
    """Edits a text. Returns None if it was cancelled.

    Args:
        title: what the text is.
        text: the current text.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "done", "Replay with this text", priority=True),
        Binding("escape", "leave", "Leave it", priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Compose a title with the keys, and the text."""
        with Vertical(classes="dialog tall"):
            yield Static(
                f"{sanitize(self._title)}\nCtrl-S sends a copy with this text, Esc cancels.", markup=False
            )
            yield TextArea(sanitize(self._text, keep="\n\t"))

    def action_done(self) -> None:
        """Return the text."""
        self.dismiss(self.query_one(TextArea).text)

    def action_leave(self) -> None:
        """Cancel the edit."""
        self.dismiss(None)
