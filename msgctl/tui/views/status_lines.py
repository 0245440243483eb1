"""The status lines of the overview: health, workers, answer times, channels, and circuit breakers."""

from msgctl.domain.times import format_duration
from msgctl.operations.dashboard.snapshot import BreakerRow, ChannelRow, Snapshot
from msgctl.tui.formatting import format_count, sanitize


def status_lines(snapshot: Snapshot, *, compact: bool = False) -> list[str]:
    """Return lines on health, answer times, channels, circuit breakers, and workers, with problems first.

    Args:
        snapshot: the snapshot of the pipeline.
        compact: shorten lines where possible.
    """
    stopped = [row for row in snapshot.channels if row.state != "open"]
    lines = [
        *_health(snapshot),
        *(f" ! breaker {row.workflow} {breaker_state(row)}" for row in snapshot.breakers),
        *(f" ! {row.channel} {channel_state(row)}, {format_count(row.backlog)} wait" for row in stopped),
        _answers(snapshot),
        *_channels(snapshot, compact=compact),
        *([] if snapshot.breakers else ["breakers all closed"]),
        *_workers(snapshot),
    ]
    return [sanitize(line) for line in lines]


def channel_state(row: ChannelRow) -> str:
    """Return the state of a channel. A problem is in capitals, with its reason."""
    reason = f" ({row.reason})" if row.reason else ""
    return row.state if row.state == "open" else f"{row.state.upper()}{reason}"


def breaker_state(row: BreakerRow) -> str:
    """Return the state of a circuit breaker. A problem is in capitals."""
    return f"OPEN for {format_duration(row.seconds)}" if row.seconds else "HALF-OPEN, probing"


def slots_gauge(used: int, slots: int | None) -> str:
    """Return the slots in use, as a bar of five and as numbers."""
    if not slots:
        return f"{used}/?"
    filled = min(5, -(-used * 5 // slots))
    return f"[{'#' * filled}{'.' * (5 - filled)}] {used}/{slots}"


def _health(snapshot: Snapshot) -> list[str]:
    if snapshot.health.healthy:
        return ["OK healthy"]
    return ["!! NOT HEALTHY", *(f" ! {reason.message}" for reason in snapshot.health.reasons)]


def _answers(snapshot: Snapshot) -> str:
    times = snapshot.answer_times
    return f"n8n p50 {times.p50:,} ms  p95 {times.p95:,} ms" if times else "n8n p50 -  p95 - (no answers yet)"


def _workers(snapshot: Snapshot) -> list[str]:
    slots = sum(worker.slots or 0 for worker in snapshot.workers)
    busy = sum(len(worker.running) for worker in snapshot.workers)
    return [
        f"workers {len(snapshot.workers)}, slots in use {busy} of {slots}",
        *(f" {slots_gauge(len(one.running), one.slots)} {one.name}" for one in snapshot.workers),
    ]


def _channels(snapshot: Snapshot, *, compact: bool) -> list[str]:
    partial = ", of the first ones" if snapshot.backlog_is_partial else ""
    head = f"to deliver {format_count(snapshot.undelivered)}{partial}"
    if compact:
        rows = [f"{row.channel} {format_count(row.backlog)}" for row in snapshot.channels]
        half = (len(rows) + 1) // 2
        return [head, " " + "  ".join(rows[:half]), " " + "  ".join(rows[half:])]
    lines = (
        f" {row.channel:<9} {format_count(row.backlog):>6}  {channel_state(row)}" for row in snapshot.channels
    )
    return [head, *lines]
