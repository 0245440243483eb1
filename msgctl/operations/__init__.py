"""Everything a person may ask of the pipeline. Command line, gateway and dashboard all come in through here."""

from msgctl.operations.cleaning import Cleaning
from msgctl.operations.dead_letters import DeadLetters, Replay
from msgctl.operations.entrance import Operations
from msgctl.operations.findings import Violation
from msgctl.operations.health import Checkup, Health, Reason
from msgctl.operations.messages import Messages
from msgctl.operations.overview import Overview
from msgctl.operations.replies import Replies, Watch
from msgctl.operations.snapshot import Snapshot
from msgctl.operations.verification import Verdict, Verification
from msgctl.operations.workers import Workers

__all__ = [
    "Checkup",
    "Cleaning",
    "DeadLetters",
    "Health",
    "Messages",
    "Operations",
    "Overview",
    "Reason",
    "Replay",
    "Replies",
    "Snapshot",
    "Verdict",
    "Verification",
    "Violation",
    "Watch",
    "Workers",
]
