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
    """The data sources and the rules of one dashboard."""

    settings: Settings
    context: Context
    postgres_ping: PostgresPing | None = None
    """Checks whether PostgreSQL answers. None disables the check."""
    player: SnapshotPlayer | None = None
    """The recording to show instead of the running pipeline."""
    recorder: SnapshotRecorder | None = None
    """Records each snapshot."""
    read_only: bool = False
    interval_s: float = 2.0
    """Seconds between two refreshes."""
    clock: Callable[[], float] = field(default=time.time)
    """Returns the time in Unix seconds."""

    async def record_action(self, act: str, ids: Sequence[str], *, before: Any = None, after: Any = None) -> None:
        """Record an action in the audit log as the command line does. An action without ids is not recorded.

        Args:
            act: noun and verb of the equivalent command.
            ids: the messages or channels that changed.
            before: the value before the action.
            after: the value after it.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if ids:
            journal = self.context.get(AuditLog)
            await journal.record(
                act, who=operator_name(), reason="in the dashboard", ids=ids, before=before, after=after
            )
