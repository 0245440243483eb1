"""The end of the daemons' log file, where there is one on this machine."""

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult

from msgctl.operations import Snapshot
from msgctl.tui.widgets.pane import Pane, caption
from msgctl.tui.widgets.table import Heading, Row, Table

TAIL = 65_536
"""Bytes read from the end of the file."""
LINES = 200
ELSEWHERE = (
    "The daemons log to standard error: look with journalctl -u 'msgctl-*', or where `msgctl up` runs. "
    "To see the log here, set [logs] directory."
)


class LogsPane(Pane):
    """The eighth tab."""

    LABEL = "Logs"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("G", "to the newest line"),
        ("c", "copy the line"),
    )

    def compose(self) -> ComposeResult:
        """Which file, and its end."""
        yield caption()
        yield Table(Heading("line", 0))

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
        table.show(Row(line, (line,)) for line in lines)
        if following:
            table.move_cursor(row=table.row_count - 1)
        self.say(f"the last {len(lines)} lines of {path}")


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return (lines[1:] if size > TAIL else lines)[-LINES:]
