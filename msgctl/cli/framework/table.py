"""A table for people: a row a line, and every value whole.

Where the terminal is too narrow, the longest text is folded in its column while that leaves it readable; what does
not fit even so stands below its row, named. So an id can always be copied and a word is never broken over lines.
"""

from collections.abc import Iterable, Iterator, Sequence

COLUMN_GAP = "  "
"""Between two columns."""
MIN_FOLDED_WIDTH = 24
"""Columns that a folded text needs at least."""
BELOW_ROW_INDENT = "    "
"""Before what stands below its row."""
EMPTY_CELL = "-"
"""A cell with nothing in it; below a row it is left out."""


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """The lines of a table.

    Args:
        headings: one a column; all of them empty: no heading is drawn.
        rows: cells of printable text, as many as there are headings.
        width: columns of the terminal.
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
    """Which columns are drawn side by side, and which, from the right, go below; the first one always stays."""
    shown, below = list(range(len(lengths))), list[int]()
    while len(shown) > 1 and _total_width(lengths[column] for column in shown) > width:
        widest = max(shown[1:], key=lengths.__getitem__)
        if (
            width - _total_width(lengths[column] for column in shown if column != widest) - len(COLUMN_GAP)
            >= MIN_FOLDED_WIDTH
        ):
            break  # it can be folded where it is
        below.insert(0, shown.pop())
    return shown, below


def _total_width(lengths: Iterable[int]) -> int:
    found = list(lengths)
    return sum(found) + len(COLUMN_GAP) * (len(found) - 1)


def _render_row(cells: Sequence[str], widths: dict[int, int]) -> Iterator[str]:
    """The lines of one row: several where a text is folded."""
    columns = [(_fold(cells[column], width), width) for column, width in widths.items()]
    for number in range(max(len(parts) for parts, _ in columns)):
        line = ((parts[number] if number < len(parts) else "", width) for parts, width in columns)
        yield COLUMN_GAP.join(part + " " * (width - _display_width(part)) for part, width in line).rstrip()


def _fold(text: str, width: int) -> list[str]:
    """A text in lines of so many columns, broken between words where that is possible."""
    if _display_width(text) <= width:
        return [text]
    from rich.console import Console  # noqa: PLC0415 - 0.1 s, which a table that fits need not wait for
    from rich.text import Text  # noqa: PLC0415

    return [part.plain.rstrip() for part in Text(text).wrap(Console(width=width), max(1, width), overflow="fold")]


def _display_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    return cell_len(text)


def _named_cell(headings: Sequence[str], row: Sequence[str], column: int) -> str:
    return f"{headings[column]}: {row[column]}" if headings[column] else row[column]
