"""What the demo shows: a row a message, filled step by step as it happens, then the replies and the times."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from msgctl.domain.steps import CALL_WORKFLOW, DONE, FIND_AGENT, PUBLISH_RESPONSE, STEPS


@dataclass
class DemoMessage:
    """One message on its way.

    Args:
        channel: as the person knows it, e.g. `REST` or `telegram`.
        message_id: of the message.
        text: what is said.
    """

    channel: str
    message_id: str
    text: str
    sent_at: float = 0.0
    """When it was sent, on the monotonic clock."""
    reported_at: dict[int, float] = field(default_factory=dict)
    """When each step was reported."""
    reply: str = ""
    replied_at: float = 0.0
    """When the reply arrived."""

    @property
    def state(self) -> str:
        """In a word, where it is."""
        if self.reply:
            return "answered"
        if self.reported_at:
            return "working"
        return "queued" if self.sent_at else "-"

    @property
    def elapsed_ms(self) -> int:
        """From sending to the reply, or until now."""
        return round(((self.replied_at or time.monotonic()) - self.sent_at) * 1000) if self.sent_at else 0


class DemoBoard:
    """All rows, on a console: live on a terminal, otherwise a plain line an event.

    Args:
        rows: the messages, in the order in which they are shown.
        console: where to draw.
    """

    def __init__(self, rows: list[DemoMessage], console: Console) -> None:
        self.rows = {row.message_id: row for row in rows}
        self._console = console

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw what happens as long as the context is open."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render_table, console=self._console, refresh_per_second=12):
            yield

    def record_step(self, message_id: str, progress: int) -> None:
        """A worker has reached a step, and so all before it, of which a hurried report may say nothing."""
        row = self.rows.get(message_id)
        for reached, name, *_ in STEPS:
            if row is not None and reached <= progress and reached not in row.reported_at:
                row.reported_at[reached] = time.monotonic()
                self._print_event(row, f"{reached:3d} %  {name}")

    def record_reply(self, message_id: str, reply: str) -> None:
        """The customer has the reply."""
        row = self.rows.get(message_id)
        if row is not None and not row.reply:
            row.reply, row.replied_at = reply, time.monotonic()
            self._print_event(row, f"answered after {row.elapsed_ms} ms")

    def unanswered(self) -> list[DemoMessage]:
        """Those still without a reply."""
        return [row for row in self.rows.values() if not row.reply]

    def print_replies(self) -> None:
        """Print what the customers read."""
        table = Table("channel", "said", "reply", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in self.rows.values():
            table.add_row(row.channel, Text(row.text), Text(row.reply))
        self._console.print(table)

    def print_times(self, started: float) -> None:
        """Print how long things took.

        Args:
            started: seconds until everything was up.
        """
        waits = [row.elapsed_ms for row in self.rows.values()]
        table = Table("times", box=box.SIMPLE_HEAD, padding=0)
        table.add_column(justify="right")
        table.add_row("servers and daemons up", f"{started:.1f} s")
        table.add_row("fastest reply", f"{min(waits)} ms")
        table.add_row("median reply", f"{statistics.median(waits):.0f} ms")
        table.add_row("slowest reply", f"{max(waits)} ms")
        table.add_row("of which msgctl's own steps, median", f"{self._own_time_ms():.0f} ms")
        self._console.print(table)

    def _own_time_ms(self) -> float:
        """Milliseconds from step to step, without the wait for n8n."""
        first, asked, answered, done = (
            one.progress for one in (FIND_AGENT, CALL_WORKFLOW, PUBLISH_RESPONSE, DONE)
        )
        own = [
            (row.reported_at[asked] - row.reported_at[first] + row.reported_at[done] - row.reported_at[answered])
            * 1000
            for row in self.rows.values()
            if row.reported_at.keys() >= {step.progress for step in STEPS}
        ]
        return statistics.median(own) if own else 0.0

    def _render_table(self) -> Table:
        table = Table("channel", "message", box=box.SIMPLE_HEAD, padding=0)
        for progress, step, *_ in STEPS:
            table.add_column(f"{progress}\n{step}", justify="center")
        table.add_column("state")
        table.add_column("ms", justify="right", min_width=5)
        for row in self.rows.values():
            marks = [
                Text("●", "green") if step.progress in row.reported_at else Text("·", "dim") for step in STEPS
            ]
            state = Text(row.state, "bold green" if row.reply else "yellow")
            table.add_row(row.channel, row.message_id[:8], *marks, state, str(row.elapsed_ms))
        return table

    def _print_event(self, row: DemoMessage, event: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{row.channel:<10} {row.message_id[:8]}  {event}", highlight=False, markup=False)
