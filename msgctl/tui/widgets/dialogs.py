"""What asks before harm is done, and what asks for a text."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static, TextArea

from msgctl.tui.formatting import sanitize


class ConfirmDialog(ModalScreen[bool]):
    """Asks whether to go on; only `y` or its button says yes.

    Args:
        question: what is about to happen, with its number.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question, with "no" as what Enter means."""
        with Vertical(classes="dialog"):
            yield Static(sanitize(self._question), markup=False)
            with Horizontal():
                yield Button("No (Esc)", id="no")
                yield Button("Yes (y)", id="yes", variant="error")

    @on(Button.Pressed)
    def press(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - the answer itself
        """A key is an answer."""
        self.dismiss(answer)


class EditDialog(ModalScreen[str | None]):
    """Lets a text be edited; None if it was left alone.

    Args:
        title: what the text is.
        text: as it is now.
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
        """A title that names the keys, and the text."""
        with Vertical(classes="dialog tall"):
            yield Static(
                f"{sanitize(self._title)}\nCtrl-S sends it anew with this text, Esc leaves it.", markup=False
            )
            yield TextArea(sanitize(self._text, keep="\n\t"))

    def action_done(self) -> None:
        """Give the text back."""
        self.dismiss(self.query_one(TextArea).text)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)
