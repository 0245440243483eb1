"""What every tab is: a body that looks at the pipeline when it is on the screen, and help on its keys."""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.widgets import Static

from msgctl.tui.formatting import sanitize
from msgctl.tui.widgets.table import Table

if TYPE_CHECKING:
    from msgctl.operations.dashboard.snapshot import Snapshot
    from msgctl.tui.context import DashboardContext

NOT_RECORDED = "A recording holds the overview, the workers and the channels; this is not in it."


class Pane(Vertical):
    """A tab's content.

    Args:
        dashboard_context: what it looks at.
        id: as of every widget, the tab's name.
    """

    LABEL: ClassVar[str] = ""
    """The tab's name on the screen."""
    SUMMARY: ClassVar[str] = ""
    """What is seen there, for the palette and the help."""
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys of its own and what they do, for the help."""
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Words that stand in it and what they mean, for the help."""

    def __init__(self, dashboard_context: "DashboardContext", *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.dashboard_context = dashboard_context

    async def refresh_data(self, snapshot: "Snapshot") -> None:
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
                self.screen.set_focus(widget)  # at once: what is typed next belongs to it
                return

    def set_caption(self, text: str) -> None:
        """Show a line above the body: what is listed, and how far was looked."""
        self.query_one(".caption", Static).update(sanitize(text))

    def go_back(self) -> bool:
        """Esc: go back one level inside the tab; False if there is none."""
        return False

    def refuse_if_read_only(self) -> bool:
        """Whether nothing may be changed here; says so."""
        refused = self.dashboard_context.read_only or self.dashboard_context.player is not None
        if refused:
            self.notify("This dashboard is read-only.", severity="warning")
        return refused

    @on(Table.RowHighlighted)
    def show_details(self) -> None:
        """Tell below the tables what the row under the cursor had no room for."""
        tables = sorted((table for table in self.query(Table) if table.display), key=lambda one: not one.has_focus)
        for line in self.query(".detail").results(Static):
            line.update(sanitize(tables[0].detail) if tables else "")


def make_caption() -> Static:
    """The line that `Pane.set_caption` writes."""
    return Static("", classes="caption", markup=False)


def make_detail() -> Static:
    """The lines that `Pane.show_details` writes."""
    return Static("", classes="detail", markup=False)
