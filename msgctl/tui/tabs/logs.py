"""The end of the daemons' log file, if this machine has one."""

import asyncio
import re
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult

from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.widgets.tab_pane import Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

TAIL_BYTES = 65_536
"""Bytes read from the end of the file."""
MAX_LINES = 200
NO_LOG_FILE = "No file: see journalctl -u 'msgctl-*', or set [logs] directory."
HEADINGS = (
    ColumnHeading("at", 12),
    ColumnHeading("level", 7),
    ColumnHeading("by", 10, narrow=HIDDEN_WIDTH),
    ColumnHeading("message", 36, narrow=13),
    ColumnHeading("what", 0),
)
TEXT_LINE_PATTERN = re.compile(r"(\d{4}-\S+) \[(\w+) *\] (.+?)(?: {2,}(.*)| ((?:\w+=).*)|)$")
"""A line of `logs.format = "text"`: time, level, event, and fields. Values with spaces are quoted."""
FACT_PATTERN = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|\S+)")
COLUMN_FIELDS = {"timestamp", "level", "daemon", "messageId", "event"}
"""Fields of a line that have their own columns."""


class LogsPane(Pane):
    """The eighth tab."""

    LABEL = "Logs"
    SUMMARY = "the end of the daemons' log file"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message of the line"),
        ("G", "go to the newest line, and follow"),
        ("c", "copy the whole line"),
    )

    def compose(self) -> ComposeResult:
        """Compose the caption and the table."""
        yield make_caption()
        yield Table(*HEADINGS)
        yield make_detail()

    async def refresh_data(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Show the last lines."""
        folder = self.dashboard_context.settings.logs.directory
        if not folder:
            self.set_caption(NO_LOG_FILE)
            return
        path = Path(folder, "combined.log")
        try:
            lines = await asyncio.to_thread(_read_tail, path)
        except OSError as error:
            self.set_caption(f"{path}: {error.strerror}")
            return
        table = self.query_one(Table)
        following = table.row_count == 0 or table.cursor_row == table.row_count - 1
        table.show_rows(map(_row, lines))
        if following:
            table.move_cursor(row=table.row_count - 1)
        self.set_caption(f"the last {len(lines)} lines of {path}{', following' if following else '; G follows'}")


def message_id_of(line: str) -> str:
    """Return the message id in a log line, or an empty text."""
    return str(_parse_line(line).get("messageId", ""))


def _row(line: str) -> TableRow:
    facts = _parse_line(line)
    if not facts:
        return TableRow(line, ("", "", "", "", line), line)
    more = "  ".join(f"{name}={value}" for name, value in facts.items() if name not in COLUMN_FIELDS)
    at, level, daemon, message_id, event = (
        facts.get(name, "") for name in ("timestamp", "level", "daemon", "messageId", "event")
    )
    loud = str(level).upper() if level in {"warning", "error", "critical"} else level
    return TableRow(line, (str(at)[11:23], loud, daemon, message_id, f"{event}  {more}"), f"{event}  {more}")


def _parse_line(line: str) -> dict[str, Any]:
    """Parse a line of either format. A line of another format has no fields."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        found = TEXT_LINE_PATTERN.match(line)
    if not found:
        return {}
    at, level, event, wide, narrow = found.groups()
    return {"timestamp": at, "level": level, "event": event, **dict(FACT_PATTERN.findall(wide or narrow or ""))}


def _read_tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return (lines[1:] if size > TAIL_BYTES else lines)[-MAX_LINES:]
