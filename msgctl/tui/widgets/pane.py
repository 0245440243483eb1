"""What every tab is: a body that looks at the pipeline when it is on the screen, and help on its keys."""

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.widgets import Static

from msgctl.tui.text import clean

if TYPE_CHECKING:
    from msgctl.operations import Snapshot
    from msgctl.tui.desk import Desk

NOT_RECORDED = "A recording holds the overview, the workers and the channels; this is not in it."


class Pane(Vertical):
    """A tab's content.

    Args:
        desk: what it looks at.
        id: as of every widget, the tab's name.
    """

    LABEL: ClassVar[str] = ""
    """The tab's name on the screen."""
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys of its own and what they do, for the help."""

    def __init__(self, desk: "Desk", *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.desk = desk

    async def look(self, snapshot: "Snapshot") -> None:
        """Show what is true now; called each interval while the tab is on the screen.

        Args:
            snapshot: the overview of this instant.

        Raises:
            RedisUnavailable: Redis does not answer.
        """

    def focus_first(self) -> None:
        """Put the focus where the keys are meant for."""
        for widget in self.query("Table, TextArea"):
            if widget.display:
                widget.focus()
                return

    def say(self, text: str) -> None:
        """Show a line above the body: what is listed, and how far was looked."""
        self.query_one(".caption", Static).update(clean(text))

    def leave(self) -> bool:
        """Esc: go back one level inside the tab; False if there is none."""
        return False


def caption() -> Static:
    """The line that `Pane.say` writes."""
    return Static("", classes="caption", markup=False)
