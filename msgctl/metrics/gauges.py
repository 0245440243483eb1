"""Gauges of the whole pipeline, as Redis shows it; every daemon serves them, so that one that lives can tell.

An alert takes the maximum over all daemons: when no worker lives, a gateway says so.
"""

from prometheus_client import Gauge

from msgctl.metrics.registry import REGISTRY


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"msgctl_{name}", text, labels, registry=REGISTRY)


WAITING = _gauge("messages_waiting", "Messages in the queue of a priority.", "priority")
OLDEST = _gauge("oldest_wait_seconds", "How long the first of a priority has waited.", "priority")
MESSAGES = _gauge("messages", "Messages by state; failed are the dead letters.", "state")
WORKERS = _gauge("workers", "Workers that live.")
SUBSCRIBERS = _gauge("subscribers", "Subscribers that live.")
GATEWAYS = _gauge("gateways", "Gateways that live.")
QUARANTINED = _gauge("quarantined_messages", "Messages in quarantine.")
BREAKERS_OPEN = _gauge("breakers_open", "Workflows that are left alone for a while.")
POSTPONED = _gauge("deliveries_postponed", "Deliveries that wait for another try.")
REDIS_UP = _gauge("redis_up", "Whether Redis answers: 1 or 0.")
REDIS_DURABLE = _gauge("redis_durable", "Whether Redis keeps what it takes (noeviction, appendonly): 1 or 0.")
REDIS_MEMORY = _gauge("redis_memory_used_ratio", "Memory in use as a share of maxmemory; 0 without a limit.")
REDIS_ROUND_TRIP = _gauge("redis_round_trip_seconds", "How long the last question to Redis took.")
CANARY_AGE = _gauge("canary_age_seconds", "Since the last synthetic message arrived, or the first was sent.")
LEDGER_LAG = _gauge("ledger_lag_seconds", "How far the ledger in PostgreSQL is behind the one in Redis.")
EVENTS_LOST = _gauge("ledger_events_lost", "Events cut from Redis before PostgreSQL had them.")
