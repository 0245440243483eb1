"""A table whose rows are patched in place: what did not change is not drawn again, and the cursor stays put."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from msgctl.tui.text import clean, plain

LEAST_WIDTH = 8
ROOMY = 118
"""Cells from which on a table shows everything in full."""
HIDDEN = -1
"""The width of a column that is not shown."""


class Heading(NamedTuple):
    """One column."""

    label: str
    width: int
    """Cells; 0 takes what the others leave."""
    right: bool = False
    """Numbers stand at the right."""
    narrow: int | None = None
    """Cells where the table has less than `ROOMY`, or `HIDDEN`; None makes no difference."""

    def fitting(self, width: int) -> int:
        """Its cells in a table of so many."""
        return self.width if self.narrow is None or width >= ROOMY else self.narrow


class Row(NamedTuple):
    """One row: the key by which the cursor finds it again, and its cells."""

    key: str
    cells: Sequence[object]
    detail: str = ""
    """Told in full below the table while the cursor is on the row; empty: its last cell."""


class Table(DataTable[Text]):
    """Shows rows.

    Args:
        headings: its columns.
        id: as of every widget.
        newest_first: at the first row the cursor stays there, so that what is new is seen, not pushed away by it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_top", "Top", show=False),
        Binding("G", "scroll_bottom", "Bottom", show=False),
        Binding("h,left", "app.next_tab(-1)", "Tab before", show=False),
        Binding("l,right", "app.next_tab(1)", "Tab behind", show=False),
    ]

    def __init__(
        self,
        *headings: Heading,
        id: str | None = None,  # noqa: A002 - Textual's own name
        newest_first: bool = False,
    ) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self.room = LEAST_WIDTH
        """Cells of the column without a width."""
        self._headings = headings
        self._newest_first = newest_first
        self._places: list[int] = []
        """Which of the headings are shown."""
        self._rows: list[Row] = []
        self._shown: list[list[str]] = []
        self._lay_out(ROOMY)

    @property
    def under_cursor(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor."""
        return self.under_cursor.key if self.under_cursor else None

    @property
    def detail(self) -> str:
        """All of what the row under the cursor may have had no room for."""
        row = self.under_cursor
        text = (row.detail or str(row.cells[-1])) if row else ""
        return "" if text == "-" else text

    def show(self, rows: Iterable[Row]) -> None:
        """Make the table show these rows, touching only the cells that differ; the cursor follows its row."""
        wanted = list(rows)
        chosen, before = self.chosen, self.cursor_row
        for place, row in enumerate(wanted):
            cells = [clean(row.cells[column]) for column in self._places]
            if place < len(self._shown):
                self._patch(place, cells)
            else:
                self.add_row(*map(self._cell, self._places, cells), key=str(place))
                self._shown.append(cells)
        for place in range(len(wanted), len(self._shown)):
            self.remove_row(str(place))
        del self._shown[len(wanted) :]
        self._rows = wanted
        keys = [row.key for row in wanted]
        if chosen is not None and keys and not (self._newest_first and before == 0):
            place = keys.index(chosen) if chosen in keys else min(before, len(keys) - 1)
            if place != self.cursor_row:
                self.move_cursor(row=place)

    def _patch(self, place: int, cells: list[str]) -> None:
        for column, old, new in zip(self._places, self._shown[place], cells, strict=True):
            if old != new:
                self.update_cell(str(place), str(column), self._cell(column, new))
        self._shown[place] = cells

    def _cell(self, column: int, text: str) -> Text:
        cell = plain(text)
        cell.justify = "right" if self._headings[column].right else "left"
        return cell

    def _lay_out(self, width: int) -> None:
        """Choose the columns for a table of so many cells; other columns than before are filled anew."""
        places = [place for place, heading in enumerate(self._headings) if heading.fitting(width) != HIDDEN]
        if places == self._places:
            return
        rows, cursor = self._rows, self.cursor_row
        self.clear(columns=True)
        self._places, self._shown = places, []
        for place in places:
            heading = self._headings[place]
            label = Text(heading.label, justify="right" if heading.right else "left")
            self.add_column(label, key=str(place), width=heading.width or LEAST_WIDTH)
        self.show(rows)
        self.move_cursor(row=cursor)

    def on_resize(self, event: Resize) -> None:
        """Fit the columns, and give the one without a width what the others leave."""
        width = event.size.width - 1  # the scroll bar
        self._lay_out(width)
        widths = {place: self._headings[place].fitting(width) for place in self._places}
        self.room = max(LEAST_WIDTH, width - sum(widths.values()) - 2 * self.cell_padding * len(widths))
        for place, cells in widths.items():
            column: Any = self.columns[ColumnKey(str(place))]
            column.auto_width = False
            column.width = cells or self.room
        self._clear_caches()
        self._require_update_dimensions = True
        self.refresh(layout=True)
