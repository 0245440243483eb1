"""What the overview shows, as plain records: printed by the command line, drawn and recorded by the dashboard."""

from msgctl.domain.messages import WireStruct
from msgctl.operations.checks.health import Health

BUCKET_S = 10
"""Seconds that one point of a trend stands for."""
BUCKET_COUNT = 30
"""Points of a trend: the last five minutes."""


class PriorityRow(WireStruct, kw_only=True, frozen=True):
    """One priority. Rates are messages a second; trends are messages answered in each bucket, oldest first."""

    priority: int
    waiting: int
    active: int
    delayed: int
    oldest: float | None
    """Seconds the head of its queue has waited; None if nothing does."""
    rate_in: float | None
    """Over the last half minute; None until two looks can be compared."""
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
    """Messages it works at once; None where it does not tell."""
    last_seen: str
    order: str | None = None
    """What an operator told it: `drain` or `stop`."""


class ChannelRow(WireStruct, kw_only=True, frozen=True):
    """One channel of delivery."""

    channel: str
    backlog: int
    """Responses still to be delivered, of those that were looked at, and all that the channel holds."""
    state: str = "open"
    """`open`, `paused` by a person or for its credentials, `broken`: left alone for a while."""
    reason: str = ""
    """Of a pause: `operator`, or the code that stopped it."""


class BreakerRow(WireStruct, kw_only=True, frozen=True):
    """A workflow that is not called, or only to probe it."""

    workflow: str
    seconds: float
    """How long it stays open; 0: half-open."""
    openings: int


class AnswerTimes(WireStruct, kw_only=True, frozen=True):
    """How long the newest answers took from claim to commit; n8n is nearly all of it."""

    count: int
    p50: int
    p95: int


class Snapshot(WireStruct, kw_only=True, frozen=True):
    """The pipeline at one instant."""

    at: int
    """Redis's Unix milliseconds."""
    health: Health
    priorities: list[PriorityRow]
    workers: list[WorkerRow]
    channels: list[ChannelRow]
    undelivered: int
    """Responses still to be delivered, all channels."""
    backlog_is_partial: bool
    """Whether the channels' backlogs leave some of them out."""
    breakers: list[BreakerRow]
    answer_times: AnswerTimes | None
    answered: list[int]
    """Messages answered in each bucket, oldest first; the last bucket is still filling."""
    failed: list[int]
    """Dead letters in each bucket."""
