"""The base class of tabs: content that is refreshed while it is shown, and help on its keys."""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.widgets import Static

from msgctl.tui.formatting import sanitize
from msgctl.tui.widgets.table import Table

if TYPE_CHECKING:
    from msgctl.operations.dashboard.snapshot import Snapshot
    from msgctl.tui.context import DashboardContext

NOT_RECORDED = "A recording has the overview, the workers, and the channels only."


class Pane(Vertical):
    """The content of a tab.

    Args:
        dashboard_context: the data sources and rules.
        id: the name of the tab, as for every widget.
    """

    LABEL: ClassVar[str] = ""
    """The name of the tab on the screen."""
    SUMMARY: ClassVar[str] = ""
    """What the tab shows, for the palette and the help."""
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Its own keys and what they do, for the help."""
    GLOSSARY: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Words in the tab and what they mean, for the help."""

    def __init__(self, dashboard_context: "DashboardContext", *, id: str) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.dashboard_context = dashboard_context

    async def refresh_data(self, snapshot: "Snapshot") -> None:
        """Show current data. It is called at each interval while the tab is shown.

        Args:
            snapshot: the current overview.

        Raises:
            RedisUnavailable: Redis does not answer.
        """

    def focus_first(self) -> None:
        """Focus the widget that the keys are for."""
        for widget in self.query("Table, TextArea"):
            if widget.display:
                self.screen.set_focus(widget)  # immediately, because the next key belongs to it
                return

    def set_caption(self, text: str) -> None:
        """Show a line above the content: what is listed, and how much was read."""
        self.query_one(".caption", Static).update(sanitize(text))

    def go_back(self) -> bool:
        """Handle Esc: go back one level within the tab. Return False if there is none."""
        return False

    def refuse_if_read_only(self) -> bool:
        """Return whether changes are disabled, and show a notice if so."""
        refused = self.dashboard_context.read_only or self.dashboard_context.player is not None
        if refused:
            self.notify("This dashboard is read-only.", severity="warning")
        return refused

    @on(Table.RowHighlighted)
    def show_details(self) -> None:
        """Show the full text of the row under the cursor below the tables."""
        tables = sorted((table for table in self.query(Table) if table.display), key=lambda one: not one.has_focus)
        for line in self.query(".detail").results(Static):
            line.update(sanitize(tables[0].detail) if tables else "")


def make_caption() -> Static:
    """Return the line that `Pane.set_caption` writes."""
    return Static("", classes="caption", markup=False)


def make_detail() -> Static:
    """Return the lines that `Pane.show_details` writes."""
    return Static("", classes="detail", markup=False)
