"""What an operator can ask of a running pipeline. The CLI, the gateway, and the dashboard all enter here."""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.operations.audit_log import AuditLog
    from msgctl.operations.channels import Channels
    from msgctl.operations.checks.doctor.doctor import Doctor
    from msgctl.operations.checks.findings import Violation
    from msgctl.operations.checks.health import Health, HealthCheck, Reason
    from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
    from msgctl.operations.checks.strict_health import StrictHealthCheck
    from msgctl.operations.dashboard.overview import Overview
    from msgctl.operations.dashboard.snapshot import Snapshot
    from msgctl.operations.dead_letters.grouping import Grouping
    from msgctl.operations.dead_letters.letters import DeadLetters, ReplayResult
    from msgctl.operations.dead_letters.replay import BulkReplay
    from msgctl.operations.dead_letters.triage import Triage
    from msgctl.operations.deliveries import Deliveries
    from msgctl.operations.entrance import Operations
    from msgctl.operations.ledger_restore import LedgerRestore
    from msgctl.operations.messages.cancel import MessageCanceller
    from msgctl.operations.messages.conversation import ConversationHistory
    from msgctl.operations.messages.listing import Listing
    from msgctl.operations.messages.lookup import Messages
    from msgctl.operations.messages.purge import MessagePurger
    from msgctl.operations.messages.reply_watcher import Replies, ReplyWatcher
    from msgctl.operations.messages.selection import Selection
    from msgctl.operations.messages.trace import MessageTracer
    from msgctl.operations.messages.wait_reasons import WaitExplainer
    from msgctl.operations.workers import Workers
else:
    __getattr__ = lazily(
        __name__,
        {
            "msgctl.operations.audit_log": "AuditLog",
            "msgctl.operations.channels": "Channels",
            "msgctl.operations.checks.doctor.doctor": "Doctor",
            "msgctl.operations.checks.findings": "Violation",
            "msgctl.operations.checks.health": "Health HealthCheck Reason",
            "msgctl.operations.checks.invariants.verify": "InvariantVerification VerificationReport",
            "msgctl.operations.checks.strict_health": "StrictHealthCheck",
            "msgctl.operations.dashboard.overview": "Overview",
            "msgctl.operations.dashboard.snapshot": "Snapshot",
            "msgctl.operations.dead_letters.grouping": "Grouping",
            "msgctl.operations.dead_letters.letters": "DeadLetters ReplayResult",
            "msgctl.operations.dead_letters.replay": "BulkReplay",
            "msgctl.operations.dead_letters.triage": "Triage",
            "msgctl.operations.deliveries": "Deliveries",
            "msgctl.operations.entrance": "Operations",
            "msgctl.operations.ledger_restore": "LedgerRestore",
            "msgctl.operations.messages.cancel": "MessageCanceller",
            "msgctl.operations.messages.conversation": "ConversationHistory",
            "msgctl.operations.messages.listing": "Listing",
            "msgctl.operations.messages.lookup": "Messages",
            "msgctl.operations.messages.purge": "MessagePurger",
            "msgctl.operations.messages.reply_watcher": "Replies ReplyWatcher",
            "msgctl.operations.messages.selection": "Selection",
            "msgctl.operations.messages.trace": "MessageTracer",
            "msgctl.operations.messages.wait_reasons": "WaitExplainer",
            "msgctl.operations.workers": "Workers",
        },
    )

__all__ = [
    "AuditLog",
    "BulkReplay",
    "Channels",
    "ConversationHistory",
    "DeadLetters",
    "Deliveries",
    "Doctor",
    "Grouping",
    "Health",
    "HealthCheck",
    "InvariantVerification",
    "LedgerRestore",
    "Listing",
    "MessageCanceller",
    "MessagePurger",
    "MessageTracer",
    "Messages",
    "Operations",
    "Overview",
    "Reason",
    "ReplayResult",
    "Replies",
    "ReplyWatcher",
    "Selection",
    "Snapshot",
    "StrictHealthCheck",
    "Triage",
    "VerificationReport",
    "Violation",
    "WaitExplainer",
    "Workers",
]
