"""The end of the daemons' log file, where there is one on this machine."""

import asyncio
import re
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult

from msgctl.operations.snapshot import Snapshot
from msgctl.tui.widgets.pane import Pane, caption, detail
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

TAIL = 65_536
"""Bytes read from the end of the file."""
LINES = 200
ELSEWHERE = "No file: see journalctl -u 'msgctl-*', or set [logs] directory."
HEADINGS = (
    Heading("at", 12),
    Heading("level", 7),
    Heading("by", 10, narrow=HIDDEN),
    Heading("message", 36, narrow=13),
    Heading("what", 0),
)
TEXT = re.compile(r"(\d{4}-\S+) \[(\w+) *\] (.+?)(?: {2,}(.*)| ((?:\w+=).*)|)$")
"""A line of `logs.format = "text"`: moment, level, what happened, and facts, which hold no blank or are quoted."""
FACT = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|\S+)")
COLUMNS = {"timestamp", "level", "daemon", "messageId", "event"}
"""Facts of a line that stand in columns of their own."""


class LogsPane(Pane):
    """The eighth tab."""

    LABEL = "Logs"
    SUMMARY = "the end of the daemons' log file"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the message the line is about"),
        ("G", "to the newest line, and follow"),
        ("c", "copy the whole line"),
    )

    def compose(self) -> ComposeResult:
        """Which file, and its end."""
        yield caption()
        yield Table(*HEADINGS)
        yield detail()

    async def look(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Show the last lines."""
        folder = self.desk.settings.logs.directory
        if not folder:
            self.say(ELSEWHERE)
            return
        path = Path(folder, "combined.log")
        try:
            lines = await asyncio.to_thread(_tail, path)
        except OSError as error:
            self.say(f"{path}: {error.strerror}")
            return
        table = self.query_one(Table)
        following = table.row_count == 0 or table.cursor_row == table.row_count - 1
        table.show(map(_row, lines))
        if following:
            table.move_cursor(row=table.row_count - 1)
        self.say(f"the last {len(lines)} lines of {path}{', following' if following else '; G follows'}")


def message_of(line: str) -> str:
    """The message that a line of the log is about; empty if it is about none."""
    return str(_facts(line).get("messageId", ""))


def _row(line: str) -> Row:
    facts = _facts(line)
    if not facts:
        return Row(line, ("", "", "", "", line), line)
    more = "  ".join(f"{name}={value}" for name, value in facts.items() if name not in COLUMNS)
    at, level, daemon, message_id, event = (
        facts.get(name, "") for name in ("timestamp", "level", "daemon", "messageId", "event")
    )
    loud = str(level).upper() if level in {"warning", "error", "critical"} else level
    return Row(line, (str(at)[11:23], loud, daemon, message_id, f"{event}  {more}"), f"{event}  {more}")


def _facts(line: str) -> dict[str, Any]:
    """What a line of either format says; of another one, nothing."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        found = TEXT.match(line)
    if not found:
        return {}
    at, level, event, wide, narrow = found.groups()
    return {"timestamp": at, "level": level, "event": event, **dict(FACT.findall(wide or narrow or ""))}


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return (lines[1:] if size > TAIL else lines)[-LINES:]
