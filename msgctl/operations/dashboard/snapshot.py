"""The snapshot of the pipeline, which the command line prints and the dashboard draws and records."""

from msgctl.domain.messages import WireStruct
from msgctl.operations.checks.health import Health

BUCKET_S = 10
"""Seconds that one point of a trend covers."""
BUCKET_COUNT = 30
"""Points of a trend: the last five minutes."""


class PriorityRow(WireStruct, kw_only=True, frozen=True):
    """One priority. Rates are messages per second. A trend is the answers of each bucket, oldest first."""

    priority: int
    waiting: int
    active: int
    delayed: int
    oldest: float | None
    """Seconds for which the head of its queue has waited. None: the queue is empty."""
    rate_in: float | None
    """The rate over the last half minute. None until there are two samples."""
    rate_out: float
    trend: list[int]


class WorkerRow(WireStruct, kw_only=True, frozen=True):
    """One live worker."""

    name: str
    state: str
    host: str
    pid: int | None
    running: list[str]
    slots: int | None
    """Messages that it processes concurrently. None: unknown."""
    last_seen: str
    order: str | None = None
    """The command of an operator: `drain` or `stop`."""


class ChannelRow(WireStruct, kw_only=True, frozen=True):
    """One channel of delivery."""

    channel: str
    backlog: int
    """Undelivered responses of the sample, and all that the channel holds."""
    state: str = "open"
    """`open`, `paused` (by an operator, or because of its credentials), or `broken` (not used for a while)."""
    reason: str = ""
    """The reason of a pause: `operator`, or the code of the error."""


class BreakerRow(WireStruct, kw_only=True, frozen=True):
    """A workflow whose circuit breaker is open or half-open."""

    workflow: str
    seconds: float
    """Seconds for which it stays open. 0: half-open."""
    openings: int


class AnswerTimes(WireStruct, kw_only=True, frozen=True):
    """Milliseconds from claim to commit of the newest answers. n8n takes nearly all of them."""

    count: int
    p50: int
    p95: int


class Snapshot(WireStruct, kw_only=True, frozen=True):
    """The pipeline at one instant."""

    at: int
    """Unix milliseconds of the clock of Redis."""
    health: Health
    priorities: list[PriorityRow]
    workers: list[WorkerRow]
    channels: list[ChannelRow]
    undelivered: int
    """Undelivered responses of all channels."""
    backlog_is_partial: bool
    """Whether the backlogs of the channels do not count all undelivered responses."""
    breakers: list[BreakerRow]
    answer_times: AnswerTimes | None
    answered: list[int]
    """Messages answered in each bucket, oldest first. The last bucket is not complete."""
    failed: list[int]
    """Dead letters in each bucket."""
