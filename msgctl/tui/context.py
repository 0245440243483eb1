"""What the dashboard works with: a running pipeline, or a recording of one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgctl.config.settings import Settings
from msgctl.operations.audit_log import AuditLog, operator_name
from msgctl.operations.context import Context
from msgctl.operations.dashboard.postgres_ping import PostgresPing
from msgctl.tui.recording import SnapshotPlayer, SnapshotRecorder


@dataclass
class DashboardContext:
    """The sources and the rules of one dashboard."""

    settings: Settings
    context: Context
    postgres_ping: PostgresPing | None = None
    """Asked whether PostgreSQL answers; None: nobody asks."""
    player: SnapshotPlayer | None = None
    """A recording to look at instead of the running pipeline."""
    recorder: SnapshotRecorder | None = None
    """Keeps what is seen."""
    read_only: bool = False
    interval_s: float = 2.0
    """Seconds between two looks."""
    clock: Callable[[], float] = field(default=time.time)
    """Unix seconds."""

    async def record_action(self, act: str, ids: Sequence[str], *, before: Any = None, after: Any = None) -> None:
        """Write an act into the journal, as the command line would; one that changed nothing is none.

        Args:
            act: noun and verb of the command that does the same.
            ids: what was changed.
            before: what it was.
            after: what it is now.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if ids:
            journal = self.context.get(AuditLog)
            await journal.record(
                act, who=operator_name(), reason="in the dashboard", ids=ids, before=before, after=after
            )
