"""RQ's side: the queue in RQ's own keys and format, written by our scripts, read truly by RQ's tools."""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.rqueue.audit import Audit, Stuck
    from msgctl.rqueue.claims import Claimed, Claims, Committed, Order, Tended
    from msgctl.rqueue.job import Job
    from msgctl.rqueue.progress import Progress
    from msgctl.rqueue.queue import Enqueued, Queue, Stats, Verdict
    from msgctl.rqueue.worker import Registration
else:
    __getattr__ = lazily(
        __name__,
        {
            "audit": "Audit Stuck",
            "claims": "Claimed Claims Committed Order Tended",
            "job": "Job",
            "progress": "Progress",
            "queue": "Enqueued Queue Stats Verdict",
            "worker": "Registration",
        },
    )

__all__ = [
    "Audit",
    "Claimed",
    "Claims",
    "Committed",
    "Enqueued",
    "Job",
    "Order",
    "Progress",
    "Queue",
    "Registration",
    "Stats",
    "Stuck",
    "Tended",
    "Verdict",
]
