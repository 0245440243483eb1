"""What a command prints: data on standard output in the shape that was asked for, everything else on error."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, TextIO

import typer

from msgctl.cli.framework.table import EMPTY_CELL, render_table

LINES_PER_WRITE = 1000
"""Lines written together."""


class OutputFormat(StrEnum):
    """What `-o` may say of a listing."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    IDS = "ids"


class RecordFormat(StrEnum):
    """What `-o` may say of a single record."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print it.")]
RecordOutputOption = Annotated[RecordFormat, typer.Option("--output", "-o", help="How to print it.")]


def print_json(data: Any) -> None:
    """One JSON document on one line."""
    print_text(_as_json(data))


def print_text(text: str) -> None:
    """A line of data."""
    _write(sys.stdout, text)


def print_note(text: str) -> None:
    """A line for the person, on standard error."""
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
        records: what to list, each as its JSON shall look.
        shape: what `-o` said.
        schema: of one record, e.g. `msgctl.agent/1`; the whole is `msgctl.agents/1`.
        columns: the table's columns: field of a record to heading.
        key: the field that `-o ids` prints.
        extra: more fields of the JSON document, such as the window the listing is bounded by.
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
    """Print one record: as JSON, or a line a field."""
    if shape is RecordFormat.JSON:
        print_json({"schema": schema, **record})
    else:
        print_table([], [[field, value] for field, value in record.items() if value is not None])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as wide as the terminal, 80 columns where there is none; a pair a line without headings."""
    cells = [[printable(cell) for cell in row] for row in rows]
    print_text("\n".join(render_table(headings or ["", ""], cells, shutil.get_terminal_size().columns)))


def fold_line(head: str, text: str) -> str:
    """A line as wide as the terminal; what does not fit stands below its text, and no word is broken."""
    width = max(40, shutil.get_terminal_size().columns - len(head))
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
    return head + f"\n{' ' * len(head)}".join(lines)


def printable(cell: Any, *, keep: str = "") -> str:
    """A cell's text without what could move a cursor or forge a line; `keep` names characters to leave alone."""
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
    """Many lines, thousands in a write: each one alone would cost a call of the system."""
    remaining = iter(lines)
    while chunk := list(islice(remaining, LINES_PER_WRITE)):
        print_text("\n".join(chunk))


def _write(stream: TextIO, text: str) -> None:
    """Write a line. A reader who has gone away (`| head`) is no reason to stop what is being done."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
