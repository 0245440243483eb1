"""Checks of the pipeline: the backlog, dead letters, daemons, and delivery."""

import time

from msgctl.config.settings import Settings
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.findings import Finding, passed, trouble, warning
from msgctl.operations.checks.health import SUBSCRIBER_HEARTBEAT_TIMEOUT_S
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.operations.dead_letters.groups import NewestDeadLetters
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient


def check_backlog(snapshot: Snapshot, settings: Settings, paused: list[str]) -> Finding:
    """Check that not too many messages wait, not for too long, and not because of a pause."""
    waiting = sum(row.waiting for row in snapshot.priorities)
    oldest = max((row.oldest for row in snapshot.priorities if row.oldest is not None), default=0.0)
    backlog = pluralize(waiting, "message waits", "messages wait")
    limits = settings.health
    if waiting <= limits.max_waiting and oldest <= limits.max_age and not (paused and waiting):
        return passed("backlog", f"{backlog}, the oldest for {oldest:.0f} s" if waiting else "no message waits")
    slots = sum(worker.slots or 0 for worker in snapshot.workers)
    if not snapshot.workers:
        cause, remedy = "no worker is alive", "msgctl start worker (or: systemctl start msgctl-worker@1)"
    elif all(worker.order for worker in snapshot.workers):
        cause, remedy = "every worker was told to drain", "msgctl worker resume --all"
    elif paused:
        verb = "is" if len(paused) == 1 else "are"
        cause, remedy = f"{', '.join(paused)} {verb} paused", "msgctl queue resume"
    elif snapshot.breakers:
        cause, remedy = (
            f"the workflow {snapshot.breakers[0].workflow} keeps failing",
            "msgctl dlq groups; look at n8n",
        )
    else:
        cause = f"{pluralize(len(snapshot.workers), 'worker')} with {pluralize(slots, 'slot')} cannot keep up"
        remedy = "msgctl start worker --concurrency 20 (or another worker)"
    text = f"{backlog}, the oldest for {oldest:.0f} s: {cause}."
    return trouble("backlog", "queue_growing", text, impact="Customers wait for their answers.", remedy=remedy)


def check_failures(dead_letters: NewestDeadLetters, snapshot: Snapshot, settings: Settings) -> Finding:
    """Check whether messages end as dead letters, and find the most frequent cause."""
    stats = snapshot.health.stats
    total = stats.total if stats else 0
    failed = dead_letters.total
    if not failed:
        return passed("failures", "no dead letters")
    worst = next(iter(dead_letters.groups), None)
    cause = f" {worst.count} of the newest {dead_letters.looked_at}: {worst.signature}" if worst else ""
    are = "is a dead letter" if failed == 1 else "are dead letters"
    text = f"{failed} of {pluralize(total, 'message')} {are}.{cause}"
    impact = "Their senders get no answer."
    group = f"--group {worst.group} " if worst and worst.group else ""
    remedy = f"msgctl dlq groups; fix the cause; msgctl dlq replay {group}--canary 5"
    if total and failed / total > settings.health.max_failed_ratio:
        return trouble("failures", "jobs_failing", text, impact=impact, remedy=remedy)
    return warning("failures", "dead_letters", text, impact=impact, remedy=remedy)


async def check_daemons(redis: RedisClient, snapshot: Snapshot) -> list[Finding]:
    """Check the workers, subscribers, and gateways. A WebSocket gets its reply through the latter two."""
    subscribers = await redis.hvals(keys.SUBSCRIBERS)
    gateways = await redis.hvals(keys.GATEWAYS)
    registered = await redis.scard(keys.RQ_WORKERS)
    since = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
    live_subscribers = sum(float(beat) > since for beat in subscribers)
    live_gateways = sum(float(beat) > since for beat in gateways)
    findings = [
        _check_workers(len(snapshot.workers)),
        _check_delivery(live_subscribers, live_gateways, snapshot.undelivered),
    ]
    # Gateways do not count here: one that stops stays registered until another has taken its inbox over.
    dead = len(subscribers) - live_subscribers + registered - len(snapshot.workers)
    if dead:
        text = f"{pluralize(dead, 'daemon')} stopped without signing off."
        impact = "They were killed. Others took their work over, and only their registrations are left."
        findings.append(
            warning("ghosts", "ghosts", text, impact=impact, remedy="msgctl doctor --fix", fix="ghosts")
        )
    else:
        findings.append(passed("ghosts", "none"))
    return findings


def _check_workers(alive: int) -> Finding:
    if alive:
        return passed("workers", f"{alive} alive")
    remedy = "msgctl start worker (or: systemctl start msgctl-worker@1)"
    return trouble("workers", "no_worker", "No worker is alive.", impact="No message is processed.", remedy=remedy)


def _check_delivery(subscribers: int, gateways: int, undelivered: int) -> Finding:
    impact = "The agent answers, but a customer with a WebSocket gets no reply."
    undelivered_text = f"{pluralize(undelivered, 'response')} to deliver."
    if not subscribers:
        remedy = "msgctl start subscriber (or: systemctl start msgctl-subscriber@1)"
        return trouble(
            "delivery",
            "socket_without_reply",
            f"No subscriber is alive. {undelivered_text}",
            impact=impact,
            remedy=remedy,
        )
    if not gateways:
        remedy = "msgctl start gateway (or: systemctl start msgctl-gateway@1)"
        return trouble(
            "delivery",
            "socket_without_reply",
            f"No gateway is alive. {undelivered_text}",
            impact=impact,
            remedy=remedy,
        )
    if undelivered > 1000:
        remedy = "msgctl delivery list --state FAILED; another subscriber; [delivery] concurrency"
        return warning(
            "delivery", "delivery_behind", undelivered_text, impact="Replies arrive late.", remedy=remedy
        )
    return passed(
        "delivery",
        f"{pluralize(subscribers, 'subscriber')}, {pluralize(gateways, 'gateway')}, {undelivered} to deliver",
    )
