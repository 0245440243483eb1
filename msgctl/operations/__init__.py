"""Everything a person may ask of the pipeline. Command line, gateway and dashboard all come in through here."""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.operations.cancelling import Cancelling
    from msgctl.operations.channels import Channels
    from msgctl.operations.cleaning import Cleaning
    from msgctl.operations.dead_letters import DeadLetters, Replay
    from msgctl.operations.deliveries import Deliveries
    from msgctl.operations.doctor.round import Doctor
    from msgctl.operations.doubts import Doubts
    from msgctl.operations.entrance import Operations
    from msgctl.operations.explaining import Explaining
    from msgctl.operations.findings import Violation
    from msgctl.operations.grouping import Grouping
    from msgctl.operations.health import Checkup, Health, Reason
    from msgctl.operations.history import History
    from msgctl.operations.journal import Journal
    from msgctl.operations.listing import Listing
    from msgctl.operations.messages import Messages
    from msgctl.operations.overview import Overview
    from msgctl.operations.rebuilding import Rebuilding
    from msgctl.operations.replaying import Replaying
    from msgctl.operations.replies import Replies, Watch
    from msgctl.operations.selection import Selection
    from msgctl.operations.snapshot import Snapshot
    from msgctl.operations.tracing import Tracing
    from msgctl.operations.triage import Triage
    from msgctl.operations.verification import Verdict, Verification
    from msgctl.operations.workers import Workers
else:
    __getattr__ = lazily(
        __name__,
        {
            "cancelling": "Cancelling",
            "channels": "Channels",
            "cleaning": "Cleaning",
            "dead_letters": "DeadLetters Replay",
            "deliveries": "Deliveries",
            "doctor.round": "Doctor",
            "doubts": "Doubts",
            "entrance": "Operations",
            "explaining": "Explaining",
            "findings": "Violation",
            "grouping": "Grouping",
            "health": "Checkup Health Reason",
            "history": "History",
            "journal": "Journal",
            "listing": "Listing",
            "messages": "Messages",
            "overview": "Overview",
            "rebuilding": "Rebuilding",
            "replaying": "Replaying",
            "replies": "Replies Watch",
            "selection": "Selection",
            "snapshot": "Snapshot",
            "tracing": "Tracing",
            "triage": "Triage",
            "verification": "Verdict Verification",
            "workers": "Workers",
        },
    )

__all__ = [
    "Cancelling",
    "Channels",
    "Checkup",
    "Cleaning",
    "DeadLetters",
    "Deliveries",
    "Doctor",
    "Doubts",
    "Explaining",
    "Grouping",
    "Health",
    "History",
    "Journal",
    "Listing",
    "Messages",
    "Operations",
    "Overview",
    "Reason",
    "Rebuilding",
    "Replay",
    "Replaying",
    "Replies",
    "Selection",
    "Snapshot",
    "Tracing",
    "Triage",
    "Verdict",
    "Verification",
    "Violation",
    "Watch",
    "Workers",
]
