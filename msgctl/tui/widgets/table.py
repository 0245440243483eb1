"""A table whose rows are updated in place: unchanged cells are not redrawn, and the cursor keeps its row."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from msgctl.tui.formatting import plain_text, sanitize

MIN_COLUMN_WIDTH = 8
FULL_WIDTH = 118
"""The width in cells from which a table shows all columns in full."""
HIDDEN_WIDTH = -1
"""The width of a hidden column."""


class ColumnHeading(NamedTuple):
    """A column."""

    label: str
    width: int
    """Cells. 0 takes the remaining width."""
    right: bool = False
    """Whether it is aligned right, as numbers are."""
    narrow: int | None = None
    """Cells in a table narrower than `FULL_WIDTH`, or `HIDDEN_WIDTH`. None keeps `width`."""

    def width_for(self, width: int) -> int:
        """Return its width in a table of a given width."""
        return self.width if self.narrow is None or width >= FULL_WIDTH else self.narrow


class TableRow(NamedTuple):
    """A row: the key that identifies it, and its cells."""

    key: str
    cells: Sequence[object]
    detail: str = ""
    """The full text shown below the table while the cursor is on the row. Empty means its last cell."""


class Table(DataTable[Text]):
    """Shows rows.

    Args:
        headings: its columns.
        id: as for every widget.
        newest_first: whether a cursor in the first row stays there when new rows are added above.
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
        *headings: ColumnHeading,
        id: str | None = None,  # noqa: A002 - Textual's own name
        newest_first: bool = False,
    ) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self.flexible_width = MIN_COLUMN_WIDTH
        """Cells of the column without a width."""
        self._headings = headings
        self._newest_first = newest_first
        self._visible_columns: list[int] = []
        """The headings that are shown."""
        self._current_rows: list[TableRow] = []
        self._drawn_cells: list[list[str]] = []
        self._choose_columns(FULL_WIDTH)

    @property
    def selected_row(self) -> TableRow | None:
        """Return the row under the cursor."""
        return self._current_rows[self.cursor_row] if 0 <= self.cursor_row < len(self._current_rows) else None

    @property
    def selected_key(self) -> str | None:
        """Return the key of the row under the cursor."""
        return self.selected_row.key if self.selected_row else None

    @property
    def detail(self) -> str:
        """Return the full text of the row under the cursor."""
        row = self.selected_row
        text = (row.detail or str(row.cells[-1])) if row else ""
        return "" if text == "-" else text

    def show_rows(self, rows: Iterable[TableRow]) -> None:
        """Show rows and update only the cells that differ. The cursor follows its row."""
        wanted = list(rows)
        chosen, before = self.selected_key, self.cursor_row
        for place, row in enumerate(wanted):
            cells = [sanitize(row.cells[column]) for column in self._visible_columns]
            if place < len(self._drawn_cells):
                self._patch_row(place, cells)
            else:
                self.add_row(*map(self._make_cell, self._visible_columns, cells), key=str(place))
                self._drawn_cells.append(cells)
        for place in range(len(wanted), len(self._drawn_cells)):
            self.remove_row(str(place))
        del self._drawn_cells[len(wanted) :]
        self._current_rows = wanted
        keys = [row.key for row in wanted]
        if chosen is not None and keys and not (self._newest_first and before == 0):
            place = keys.index(chosen) if chosen in keys else min(before, len(keys) - 1)
            if place != self.cursor_row:
                self.move_cursor(row=place)

    def _patch_row(self, place: int, cells: list[str]) -> None:
        for column, old, new in zip(self._visible_columns, self._drawn_cells[place], cells, strict=True):
            if old != new:
                self.update_cell(str(place), str(column), self._make_cell(column, new))
        self._drawn_cells[place] = cells

    def _make_cell(self, column: int, text: str) -> Text:
        cell = plain_text(text)
        cell.justify = "right" if self._headings[column].right else "left"
        return cell

    def _choose_columns(self, width: int) -> None:
        """Choose the columns for a width, and refill the table if they change."""
        places = [
            place for place, heading in enumerate(self._headings) if heading.width_for(width) != HIDDEN_WIDTH
        ]
        if places == self._visible_columns:
            return
        rows, cursor = self._current_rows, self.cursor_row
        self.clear(columns=True)
        self._visible_columns, self._drawn_cells = places, []
        for place in places:
            heading = self._headings[place]
            label = Text(heading.label, justify="right" if heading.right else "left")
            self.add_column(label, key=str(place), width=heading.width or MIN_COLUMN_WIDTH)
        self.show_rows(rows)
        self.move_cursor(row=cursor)

    def on_resize(self, event: Resize) -> None:
        """Choose the columns, and give the flexible one the remaining width."""
        width = event.size.width - 1  # for the scroll bar
        self._choose_columns(width)
        widths = {place: self._headings[place].width_for(width) for place in self._visible_columns}
        self.flexible_width = max(
            MIN_COLUMN_WIDTH, width - sum(widths.values()) - 2 * self.cell_padding * len(widths)
        )
        for place, cells in widths.items():
            column: Any = self.columns[ColumnKey(str(place))]
            column.auto_width = False
            column.width = cells or self.flexible_width
        self._clear_caches()
        self._require_update_dimensions = True
        self.refresh(layout=True)
