"""Gauges of the whole pipeline, as Redis shows it; every daemon serves them, so that one that lives can tell.

An alert takes the maximum over all daemons: when no worker lives, a gateway says so.
"""

from prometheus_client import Gauge

from msgctl.observability.metrics.registry import REGISTRY


def _make_gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"msgctl_{name}", text, labels, registry=REGISTRY)


MESSAGES_WAITING = _make_gauge("messages_waiting", "Messages in the queue of a priority.", "priority")
OLDEST_WAIT = _make_gauge("oldest_wait_seconds", "How long the first of a priority has waited.", "priority")
MESSAGES_BY_STATE = _make_gauge("messages", "Messages by state; failed are the dead letters.", "state")
LIVE_WORKERS = _make_gauge("workers", "Workers that live.")
LIVE_SUBSCRIBERS = _make_gauge("subscribers", "Subscribers that live.")
LIVE_GATEWAYS = _make_gauge("gateways", "Gateways that live.")
MESSAGES_QUARANTINED = _make_gauge("quarantined_messages", "Messages in quarantine.")
BREAKERS_OPEN = _make_gauge("breakers_open", "Workflows that are left alone for a while.")
DELIVERIES_POSTPONED = _make_gauge("deliveries_postponed", "Deliveries that wait for another try.")
REDIS_UP = _make_gauge("redis_up", "Whether Redis answers: 1 or 0.")
REDIS_DURABLE = _make_gauge("redis_durable", "Whether Redis keeps what it takes (noeviction, appendonly): 1 or 0.")
REDIS_MEMORY_RATIO = _make_gauge(
    "redis_memory_used_ratio", "Memory in use as a share of maxmemory; 0 without a limit."
)
REDIS_ROUND_TRIP = _make_gauge("redis_round_trip_seconds", "How long the last question to Redis took.")
CANARY_AGE = _make_gauge("canary_age_seconds", "Since the last synthetic message arrived, or the first was sent.")
LEDGER_LAG = _make_gauge("ledger_lag_seconds", "How far the ledger in PostgreSQL is behind the one in Redis.")
LEDGER_EVENTS_LOST = _make_gauge("ledger_events_lost", "Events cut from Redis before PostgreSQL had them.")
