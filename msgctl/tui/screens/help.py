"""Help on the current tab, and on the keys that work everywhere."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from msgctl.tui.formatting import wrap_line
from msgctl.tui.widgets.tab_pane import Pane

GLOBAL_KEYS = (
    ("1-8", "the tabs; also h l, Left and Right, or a click"),
    ("j k g G", "down, up, first, last"),
    ("p", "freeze the screen, or continue; the pipeline continues"),
    ("r", "look now"),
    ("c", "copy (over ssh too, if the terminal allows it)"),
    (":", "a command: a tab's name, id ID, filter WORDS, interval 5, at 03:12, theme light, freeze, q"),
    ("Ctrl-P", "the palette: every command by name"),
    (", . < >", "in a recording: five seconds back or forward; a minute"),
    ("Esc", "back"),
    ("?", "this help"),
    ("q", "leave"),
)
MEANING_INDENT = 16
"""Cells before a meaning. A name has at most three cells fewer."""


class HelpScreen(ModalScreen[None]):
    """The help screen.

    Args:
        pane: the tab that it describes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "Back"),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, pane: Pane) -> None:
        super().__init__()
        self._pane = pane

    def compose(self) -> ComposeResult:
        """Compose the lists of keys and words."""
        with VerticalScroll(classes="dialog whole"):
            yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        """Show how to close the screen."""
        self.query_one(VerticalScroll).border_title = "help"
        self.query_one(VerticalScroll).border_subtitle = "Esc back  j k scroll"

    def on_resize(self) -> None:
        """Wrap the lines at the new width."""
        width = self.query_one(VerticalScroll).scrollable_content_region.width
        pane, text = self._pane, Text()
        for title, entries in (
            (f"{pane.LABEL.upper()}: {pane.SUMMARY}", pane.KEYS),
            ("WORDS", pane.GLOSSARY),
            ("EVERYWHERE", GLOBAL_KEYS),
        ):
            if not entries:
                continue
            text.append(f"{title}\n", style="bold")
            for name, meaning in entries:
                first, *rest = wrap_line(meaning, max(20, width - MEANING_INDENT))
                text.append(
                    "".join(
                        f"{line}\n"
                        for line in (f"  {name:<{MEANING_INDENT - 2}}{first}", *_continuation_lines(rest))
                    )
                )
            text.append("\n")
        self.query_one("#keys", Static).update(text)

    def action_scroll(self, lines: int) -> None:
        """Scroll the text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _continuation_lines(lines: list[str]) -> list[str]:
    return [f"{'':<{MEANING_INDENT}}{line.lstrip()}" for line in lines]
