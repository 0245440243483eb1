"""What the dashboard works with: a running pipeline, or a recording of one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from msgctl.config import Settings
from msgctl.history import History
from msgctl.operations import Operations
from msgctl.operations.pulse import Pulse
from msgctl.tui.tape import Player, Recorder


@dataclass
class Desk:
    """The sources and the rules of one dashboard."""

    settings: Settings
    operations: Operations
    history: History
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
