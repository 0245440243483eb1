"""Help on the tab that is on the screen, and on the keys that work everywhere."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

EVERYWHERE = (
    ("1-8", "the tabs; click them, or Left and Right"),
    ("j k g G", "down, up, first, last"),
    ("p", "pause the refresh, and go on"),
    ("r", "look now"),
    ("c", "copy (over ssh too, where the terminal allows it)"),
    (":", "a command: a tab's name, id ID, filter WORDS, interval 5, at 03:12, theme, pause, q"),
    ("Ctrl-P", "the palette: every command by name"),
    (", .", "in a recording: five seconds back, on; < > a minute"),
    ("Esc", "back"),
    ("?", "this help"),
    ("q", "leave"),
)


class HelpScreen(ModalScreen[None]):
    """Opens above the tabs.

    Args:
        label: the tab's name.
        keys: the tab's own keys.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "Back")]

    def __init__(self, label: str, keys: tuple[tuple[str, str], ...]) -> None:
        super().__init__()
        self._label = label
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Two lists of keys."""
        lines = [self._label.upper(), *map(_line, self._keys), "", "EVERYWHERE", *map(_line, EVERYWHERE)]
        with VerticalScroll(classes="dialog whole"):
            yield Static("\n".join(lines), markup=False)


def _line(entry: tuple[str, str]) -> str:
    return f"  {entry[0]:<9} {entry[1]}"
