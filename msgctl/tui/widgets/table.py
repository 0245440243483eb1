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
ROOMY = 120
"""Cells from which on a table shows everything in full."""


class Heading(NamedTuple):
    """One column."""

    label: str
    width: int
    """Cells; 0 takes what the others leave."""
    right: bool = False
    """Numbers stand at the right."""
    narrow: int | None = None
    """Cells where the table has less than `ROOMY`; None makes no difference."""

    def fitting(self, width: int) -> int:
        """Its cells in a table of so many."""
        return self.width if self.narrow is None or width >= ROOMY else self.narrow


class Row(NamedTuple):
    """One row: the key by which the cursor finds it again, and its cells."""

    key: str
    cells: Sequence[object]


class Table(DataTable[Text]):
    """Shows rows.

    Args:
        headings: its columns.
        id: as of every widget.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_top", "Top", show=False),
        Binding("G", "scroll_bottom", "Bottom", show=False),
    ]

    def __init__(self, *headings: Heading, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self._headings = headings
        self._keys: list[str] = []
        self._shown: list[list[str]] = []
        for place, heading in enumerate(headings):
            label = Text(heading.label, justify="right" if heading.right else "left")
            self.add_column(label, key=str(place), width=heading.width or LEAST_WIDTH)

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor."""
        return self._keys[self.cursor_row] if 0 <= self.cursor_row < len(self._keys) else None

    def show(self, rows: Iterable[Row]) -> None:
        """Make the table show these rows, touching only the cells that differ; the cursor follows its row."""
        wanted = list(rows)
        chosen, before = self.chosen, self.cursor_row
        for place, row in enumerate(wanted):
            cells = [clean(cell) for cell in row.cells]
            if place < len(self._shown):
                self._patch(place, cells)
            else:
                self.add_row(*map(self._cell, range(len(cells)), cells), key=str(place))
                self._shown.append(cells)
        for place in range(len(wanted), len(self._shown)):
            self.remove_row(str(place))
        del self._shown[len(wanted) :]
        self._keys = [row.key for row in wanted]
        if chosen is not None and self._keys:
            place = self._keys.index(chosen) if chosen in self._keys else min(before, len(self._keys) - 1)
            if place != self.cursor_row:
                self.move_cursor(row=place)

    def _patch(self, place: int, cells: list[str]) -> None:
        for column, (old, new) in enumerate(zip(self._shown[place], cells, strict=True)):
            if old != new:
                self.update_cell(str(place), str(column), self._cell(column, new))
        self._shown[place] = cells

    def _cell(self, column: int, text: str) -> Text:
        cell = plain(text)
        cell.justify = "right" if self._headings[column].right else "left"
        return cell

    def on_resize(self, event: Resize) -> None:
        """Fit the columns, and give the one without a width what the others leave."""
        room = event.size.width - 1  # the scroll bar
        widths = [heading.fitting(room) for heading in self._headings]
        free = room - sum(widths) - 2 * self.cell_padding * len(widths)
        for place, (heading, width) in enumerate(zip(self._headings, widths, strict=True)):
            column: Any = self.columns[ColumnKey(str(place))]
            column.auto_width = False
            column.width = width if heading.width else max(LEAST_WIDTH, free)
        self._clear_caches()
        self._require_update_dimensions = True
        self.refresh(layout=True)
