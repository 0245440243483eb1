"""A snapshot of a busy evening, made up, the same each time: for pictures and recordings."""

from msgctl.operations.checks.findings import Reason
from msgctl.operations.checks.health import Health
from msgctl.operations.dashboard.snapshot import (
    BUCKET_COUNT,
    AnswerTimes,
    BreakerRow,
    ChannelRow,
    PriorityRow,
    Snapshot,
    WorkerRow,
)
from msgctl.queue.queue import Stats

AT = 1_767_236_400_000
"""2026-01-01 03:00:00 UTC."""


def sample(at: int = AT) -> Snapshot:
    """The snapshot as of a time in Unix milliseconds."""
    answered = [420 + 37 * (place * place % 11) - 12 * place for place in range(BUCKET_COUNT)]
    failed = [0] * 20 + [1, 0, 3, 8, 5, 2, 0, 1, 0, 0]
    return Snapshot(
        at=at,
        health=Health(
            healthy=False,
            stats=Stats(waiting=1873, active=48, completed=91_204, failed=20, delayed=7, paused=0, total=93_152),
            reasons=[Reason(code="too_many_waiting", message="1873 messages wait, more than 100.")],
        ),
        priorities=[_priority(priority, answered) for priority in range(1, 11)],
        workers=[
            WorkerRow(
                name=f"worker-chat{n}-{4000 + n}-9f3a",
                state="busy",
                host=f"chat{n}",
                pid=4000 + n,
                running=[f"m{k}" for k in range(n * 4)],
                slots=20,
                last_seen="2026-01-01T02:59:59.120Z",
            )
            for n in (2, 4, 5)
        ],
        channels=[
            ChannelRow(channel=channel, backlog=backlog)
            for channel, backlog in (("web", 3), ("whatsapp", 41), ("telegram", 0), ("api", 2))
        ],
        undelivered=46,
        backlog_is_partial=False,
        breakers=[BreakerRow(workflow="support", seconds=12.4, openings=2)],
        answer_times=AnswerTimes(count=50, p50=3210, p95=9874),
        answered=answered,
        failed=failed,
    )


def _priority(priority: int, answered: list[int]) -> PriorityRow:
    busy = priority in (1, 5, 10)
    return PriorityRow(
        priority=priority,
        waiting=priority * 117 if busy else 0,
        active=16 if busy else 0,
        delayed=priority % 3,
        oldest=priority * 11.5 if busy else None,
        rate_in=14.25 * (11 - priority) if busy else 0,
        rate_out=13.5 * (11 - priority) if busy else 0,
        trend=[one // (priority + 2) if busy else 0 for one in answered],
    )
