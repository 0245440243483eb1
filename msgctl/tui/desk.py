"""What the dashboard works with: a running pipeline, or a recording of one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgctl.config.settings import Settings
from msgctl.operations.entrance import Operations
from msgctl.operations.journal import operator
from msgctl.operations.pulse import Pulse
from msgctl.tui.tape import Player, Recorder


@dataclass
class Desk:
    """The sources and the rules of one dashboard."""

    settings: Settings
    operations: Operations
    pulse: Pulse | None = None
    """Asked whether PostgreSQL answers; None: nobody asks."""
    player: Player | None = None
    """A recording to look at instead of the running pipeline."""
    recorder: Recorder | None = None
    """Keeps what is seen."""
    read_only: bool = False
    interval: float = 2.0
    """Seconds between two looks."""
    clock: Callable[[], float] = field(default=time.time)
    """Unix seconds."""

    async def note(self, act: str, ids: Sequence[str], *, before: Any = None, after: Any = None) -> None:
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
            journal = self.operations.journal
            await journal.note(act, who=operator(), reason="in the dashboard", ids=ids, before=before, after=after)
