"""Output of commands: data on standard output in the requested format, everything else on standard error."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TextIO

from msgctl.cli.framework.options import OutputFormat, RecordFormat
from msgctl.cli.framework.table import EMPTY_CELL, render_table

LINES_PER_WRITE = 1000
"""Lines in one write call."""


def print_json(data: Any) -> None:
    """Print one JSON document on one line."""
    print_text(_as_json(data))


def print_text(text: str) -> None:
    """Print a line of data on standard output."""
    _write(sys.stdout, text)


def print_note(text: str) -> None:
    """Print a line for a person on standard error."""
    _write(sys.stderr, text)


def print_listing(
    records: Sequence[Mapping[str, Any]],
    shape: OutputFormat,
    *,
    schema: str,
    columns: Mapping[str, str],
    key: str = "id",
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Print a listing.

    Args:
        records: the records, each as its JSON object.
        shape: the value of `-o`.
        schema: the schema of one record, e.g. `msgctl.agent/1`. The document has the plural, `msgctl.agents/1`.
        columns: the columns of the table, from field to heading.
        key: the field that `-o ids` prints.
        extra: more fields of the JSON document, such as the limit of the listing.
    """
    noun, _, version = schema.partition("/")
    match shape:
        case OutputFormat.JSON:
            print_json({"schema": f"{_plural(noun)}/{version}", **(extra or {}), "items": list(records)})
        case OutputFormat.JSONL:
            _print_lines(_as_json({"schema": schema, **record}) for record in records)
        case OutputFormat.IDS:
            _print_lines(str(record[key]) for record in records)
        case OutputFormat.TABLE if not records:
            print_note("none")
        case OutputFormat.TABLE:
            print_table(list(columns.values()), [[record.get(field) for field in columns] for record in records])


def print_record(record: Mapping[str, Any], shape: RecordFormat, *, schema: str) -> None:
    """Print one record, as JSON or with one line for each field."""
    if shape is RecordFormat.JSON:
        print_json({"schema": schema, **record})
    else:
        print_table([], [[field, value] for field, value in record.items() if value is not None])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table at the width of the terminal. Without headings, each row is a field and its value."""
    cells = [[printable(cell) for cell in row] for row in rows]
    print_text("\n".join(render_table(headings or ["", ""], cells, shutil.get_terminal_size().columns)))


def fold_line(head: str, text: str) -> str:
    """Wrap a text after `head` at the width of the terminal. Further lines are indented and words stay whole."""
    width = max(40, shutil.get_terminal_size().columns - len(head))
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
    return head + f"\n{' ' * len(head)}".join(lines)


def printable(cell: Any, *, keep: str = "") -> str:
    """Return the text of a cell with each control character replaced by `?`, except those in `keep`."""
    if cell is None or cell == "":
        return EMPTY_CELL
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    shown = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return "".join(character if character.isprintable() or character in keep else "?" for character in shown)


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _as_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _print_lines(lines: Iterable[str]) -> None:
    """Print many lines with few system calls."""
    remaining = iter(lines)
    while chunk := list(islice(remaining, LINES_PER_WRITE)):
        print_text("\n".join(chunk))


def _write(stream: TextIO, text: str) -> None:
    """Write a line. A closed pipe (`| head`) does not stop the command."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
