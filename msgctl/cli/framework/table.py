"""A table for people: one line for each row, and no value is cut.

On a narrow terminal, the longest text is folded within its column while that stays readable. Columns that still do
not fit are printed below their row with their headings. An id can always be copied, and no word is broken.
"""

from collections.abc import Iterable, Iterator, Sequence

COLUMN_GAP = "  "
MIN_FOLDED_WIDTH = 24
"""Minimum width of a folded text, in terminal columns."""
BELOW_ROW_INDENT = "    "
EMPTY_CELL = "-"
"""The text of a cell without a value. Below a row it is left out."""


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table.

    Args:
        headings: one for each column. If all are empty, no heading is drawn.
        rows: cells of printable text, one for each heading.
        width: the width of the terminal, in columns.
    """
    lengths = [max(map(_display_width, column)) for column in zip(headings, *rows, strict=True)]
    shown, below = _split_columns(lengths, width)
    widths = {column: lengths[column] for column in shown}
    widest = max(shown[1:] or shown, key=lengths.__getitem__)
    widths[widest] -= max(0, _total_width(widths.values()) - width)
    if any(headings):
        yield from _render_row(headings, widths)
        yield "─" * _total_width(widths.values())
    for row in rows:
        yield from _render_row(row, widths)
        for column in below:
            if row[column] != EMPTY_CELL:
                yield from (
                    BELOW_ROW_INDENT + part
                    for part in _fold(_named_cell(headings, row, column), width - len(BELOW_ROW_INDENT))
                )


def _split_columns(lengths: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """Return the columns drawn side by side, and those printed below, which are taken from the right."""
    shown, below = list(range(len(lengths))), list[int]()
    while len(shown) > 1 and _total_width(lengths[column] for column in shown) > width:
        widest = max(shown[1:], key=lengths.__getitem__)
        if (
            width - _total_width(lengths[column] for column in shown if column != widest) - len(COLUMN_GAP)
            >= MIN_FOLDED_WIDTH
        ):
            break  # it can be folded in its column
        below.insert(0, shown.pop())
    return shown, below


def _total_width(lengths: Iterable[int]) -> int:
    widths = list(lengths)
    return sum(widths) + len(COLUMN_GAP) * (len(widths) - 1)


def _render_row(cells: Sequence[str], widths: dict[int, int]) -> Iterator[str]:
    """Yield the lines of one row, several if a text is folded."""
    columns = [(_fold(cells[column], width), width) for column, width in widths.items()]
    for number in range(max(len(parts) for parts, _ in columns)):
        line = ((parts[number] if number < len(parts) else "", width) for parts, width in columns)
        yield COLUMN_GAP.join(part + " " * (width - _display_width(part)) for part, width in line).rstrip()


def _fold(text: str, width: int) -> list[str]:
    """Wrap a text at so many columns, between words where possible."""
    if _display_width(text) <= width:
        return [text]
    from rich.console import Console  # noqa: PLC0415 - it takes 0.1 s, and only a folded text needs it
    from rich.text import Text  # noqa: PLC0415

    return [part.plain.rstrip() for part in Text(text).wrap(Console(width=width), max(1, width), overflow="fold")]


def _display_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    return cell_len(text)


def _named_cell(headings: Sequence[str], row: Sequence[str], column: int) -> str:
    return f"{headings[column]}: {row[column]}" if headings[column] else row[column]
