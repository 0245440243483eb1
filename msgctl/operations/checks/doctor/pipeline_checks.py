"""Messages and those who work them under the doctor's eyes: backlog, failures, replies that reach nobody."""

import time

from msgctl.config.settings import Settings
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.finding import Finding, fine, trouble, warning
from msgctl.operations.checks.health import SUBSCRIBER_HEARTBEAT_TIMEOUT_S
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.operations.dead_letters.signatures import group_key
from msgctl.operations.dead_letters.triage import Groups
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient


def check_backlog(snapshot: Snapshot, settings: Settings, paused: list[str]) -> Finding:
    """Whether the queue grows: too many wait, or too long, or a pause holds them."""
    waiting = sum(row.waiting for row in snapshot.priorities)
    oldest = max((row.oldest for row in snapshot.priorities if row.oldest is not None), default=0.0)
    told = pluralize(waiting, "message waits", "messages wait")
    limits = settings.health
    if waiting <= limits.max_waiting and oldest <= limits.max_age and not (paused and waiting):
        return fine("backlog", f"{told}, the oldest for {oldest:.0f} s" if waiting else "nothing waits")
    slots = sum(worker.slots or 0 for worker in snapshot.workers)
    if not snapshot.workers:
        cause, mend = "no worker is alive", "msgctl start worker (or: systemctl start msgctl-worker@1)"
    elif all(worker.order for worker in snapshot.workers):
        cause, mend = "every worker was told to drain", "msgctl worker resume --all"
    elif paused:
        verb = "is" if len(paused) == 1 else "are"
        cause, mend = f"{', '.join(paused)} {verb} paused", "msgctl queue resume"
    elif snapshot.breakers:
        cause, mend = (
            f"the workflow {snapshot.breakers[0].workflow} keeps failing",
            "msgctl dlq groups; look at n8n",
        )
    else:
        cause = f"{pluralize(len(snapshot.workers), 'worker')} with {pluralize(slots, 'slot')} cannot keep up"
        mend = "msgctl start worker --concurrency 20 (or another worker)"
    what = f"{told}, the oldest for {oldest:.0f} s: {cause}."
    return trouble("backlog", "queue_growing", what, why="Customers wait for their answers.", mend=mend)


def check_failures(groups: Groups, snapshot: Snapshot, settings: Settings) -> Finding:
    """Whether messages end as dead letters, and the commonest cause."""
    stats = snapshot.health.stats
    total = stats.total if stats else 0
    failed = groups.total
    if not failed:
        return fine("failures", "no dead letters")
    worst = groups.groups[0] if groups.groups else None
    cause = f" {len(worst.letters)} of the newest {groups.looked_at}: {worst.signature}" if worst else ""
    are = "is a dead letter" if failed == 1 else "are dead letters"
    what = f"{failed} of {pluralize(total, 'message')} {are}.{cause}"
    why = "Their senders get no answer."
    group = f"--group {group_key(worst.signature)} " if worst else ""
    mend = f"msgctl dlq groups; mend the cause; msgctl dlq replay {group}--canary 5"
    if total and failed / total > settings.health.max_failed_ratio:
        return trouble("failures", "jobs_failing", what, why=why, mend=mend)
    return warning("failures", "dead_letters", what, why=why, mend=mend)


async def check_daemons(redis: RedisClient, snapshot: Snapshot) -> list[Finding]:
    """Workers, subscribers and gateways; without one of the latter two a WebSocket gets no reply."""
    subscribers = await redis.hvals(keys.SUBSCRIBERS)
    gateways = await redis.hvals(keys.GATEWAYS)
    registered = await redis.scard(keys.RQ_WORKERS)
    since = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
    listening = sum(float(beat) > since for beat in subscribers)
    doors = sum(float(beat) > since for beat in gateways)
    found = [_check_workers(len(snapshot.workers)), _check_delivery(listening, doors, snapshot.undelivered)]
    # A gateway says no farewell, since another may have to take its inbox over: its name goes by itself.
    silent = len(subscribers) - listening + registered - len(snapshot.workers)
    if silent:
        what = f"{pluralize(silent, 'daemon')} fell silent without a farewell."
        why = "They were killed; what they held was taken over, their names only clutter."
        found.append(warning("ghosts", "ghosts", what, why=why, mend="msgctl doctor --fix", fix="ghosts"))
    else:
        found.append(fine("ghosts", "none"))
    return found


def _check_workers(alive: int) -> Finding:
    if alive:
        return fine("workers", f"{alive} alive")
    mend = "msgctl start worker (or: systemctl start msgctl-worker@1)"
    return trouble("workers", "no_worker", "None is alive.", why="Nothing is worked.", mend=mend)


def _check_delivery(subscribers: int, gateways: int, undelivered: int) -> Finding:
    why = "The agent answers, and the customer at a WebSocket sees nothing."
    left = f"{pluralize(undelivered, 'response')} to deliver."
    if not subscribers:
        mend = "msgctl start subscriber (or: systemctl start msgctl-subscriber@1)"
        return trouble("delivery", "socket_without_reply", f"No subscriber is alive; {left}", why=why, mend=mend)
    if not gateways:
        mend = "msgctl start gateway (or: systemctl start msgctl-gateway@1)"
        return trouble("delivery", "socket_without_reply", f"No gateway is alive; {left}", why=why, mend=mend)
    if undelivered > 1000:
        mend = "msgctl delivery list --state FAILED; another subscriber; [delivery] concurrency"
        return warning("delivery", "delivery_behind", left, why="Replies come late.", mend=mend)
    return fine(
        "delivery",
        f"{pluralize(subscribers, 'subscriber')}, {pluralize(gateways, 'gateway')}, {undelivered} to deliver",
    )
