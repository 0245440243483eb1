"""What the overview says in words: health, workers, answer times, channels, breakers."""

from msgctl.operations import Snapshot
from msgctl.tui.text import clean, count, span


def facts(snapshot: Snapshot) -> list[str]:
    """Health with its reasons, workers, answer times, channels and breakers, a line each."""
    lines = [
        *_health(snapshot),
        *_workers(snapshot),
        _answers(snapshot),
        *_channels(snapshot),
        *_breakers(snapshot),
    ]
    return [clean(line) for line in lines]


def _health(snapshot: Snapshot) -> list[str]:
    if snapshot.health.healthy:
        return ["OK healthy"]
    return ["!! NOT HEALTHY", *(f" ! {reason.message}" for reason in snapshot.health.reasons)]


def _workers(snapshot: Snapshot) -> list[str]:
    slots = sum(worker.slots or 0 for worker in snapshot.workers)
    busy = sum(len(worker.running) for worker in snapshot.workers)
    return [
        f"workers {len(snapshot.workers)}, slots in use {busy} of {slots}",
        *(f" {len(one.running)}/{one.slots or '?'} {one.name}" for one in snapshot.workers),
    ]


def _answers(snapshot: Snapshot) -> str:
    times = snapshot.answer_times
    return f"n8n p50 {times.p50:,} ms  p95 {times.p95:,} ms" if times else "n8n p50 -  p95 - (no answers yet)"


def _channels(snapshot: Snapshot) -> list[str]:
    partial = " (of the first)" if snapshot.backlog_is_partial else ""
    backlogs = [f"{row.channel} {row.backlog}" for row in snapshot.channels]
    half = (len(backlogs) + 1) // 2
    head = f"to deliver {count(snapshot.undelivered)}{partial}"
    return [head, " " + "  ".join(backlogs[:half]), " " + "  ".join(backlogs[half:])]


def _breakers(snapshot: Snapshot) -> list[str]:
    if not snapshot.breakers:
        return ["breakers all closed"]
    return [
        f"breaker {row.workflow} {f'OPEN for {span(row.seconds)}' if row.seconds else 'HALF-OPEN, probing'}"
        for row in snapshot.breakers
    ]


def gauge(used: int, slots: int | None) -> str:
    """Slots in use as a bar of five and as numbers."""
    if not slots:
        return f"{used}/?"
    filled = min(5, -(-used * 5 // slots))
    return f"[{'#' * filled}{'.' * (5 - filled)}] {used}/{slots}"
