"""Every counter and histogram that the code counts in; gauges of the whole pipeline are `gauges`."""

import sys

from prometheus_client import Counter, Gauge, Histogram

from msgctl.observability.metrics.registry import REGISTRY

STEP_BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 120)
"""Seconds: from a look into Redis to a model that thinks."""
CALL_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 80, 120)

MESSAGES_ACCEPTED = Counter(
    "msgctl_messages_accepted_total", "Messages accepted by this process.", ["priority"], registry=REGISTRY
)
MESSAGES_CLAIMED = Counter(
    "msgctl_claims_total", "Messages claimed by this worker.", ["priority"], registry=REGISTRY
)
STEP_DURATION = Histogram(
    "msgctl_step_duration_seconds",
    "How long a message was in a step of the pipeline.",
    ["step"],
    buckets=STEP_BUCKETS_S,
    registry=REGISTRY,
)
ATTEMPTS = Counter(
    "msgctl_attempts_total",
    "Attempts that ended, by outcome: completed, silent, failed, held, lease_lost.",
    ["outcome"],
    registry=REGISTRY,
)
FAILURES = Counter(
    "msgctl_failures_total",
    "Attempts that ended without an answer, by class and code of the error.",
    ["class", "code"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter("msgctl_dead_letters_total", "Messages that failed for good here.", registry=REGISTRY)
CRASHES = Counter(
    "msgctl_crashes_total", "Messages whose worker was lost, as this worker reaped them.", registry=REGISTRY
)
LEASES_LOST = Counter(
    "msgctl_leases_lost_total", "Leases this worker lost while it ran the message.", registry=REGISTRY
)
N8N_WARNINGS = Counter(
    "msgctl_n8n_warnings_total",
    "Faults in answers of n8n that were used all the same; trace and the log name each.",
    registry=REGISTRY,
)
N8N_DURATION = Histogram(
    "msgctl_n8n_request_duration_seconds",
    "How long calls of n8n took, by outcome: ok, or the code of the error.",
    ["outcome"],
    buckets=CALL_BUCKETS_S,
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "msgctl_deliveries_total",
    "Deliveries by channel and outcome: sent, kept, failed, unknown, postponed, rebuilt.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
REPLIES_CUT = Counter(
    "msgctl_replies_cut_total",
    "Replies that were cut off: longer than [reply] max_parts messages, or than a frame of the web.",
    ["channel"],
    registry=REGISTRY,
)
PROVIDER_ERRORS = Counter(
    "msgctl_provider_errors_total",
    "Failed sends by channel and error code, as answers and as status webhooks report them, listed codes or not.",
    ["channel", "code"],
    registry=REGISTRY,
)
INBOUND_MESSAGES = Counter(
    "msgctl_inbound_total",
    "Records of webhooks by channel and kind: text, repeated, refused, nobody, left, edited, or what is no text.",
    ["channel", "kind"],
    registry=REGISTRY,
)
INBOUND_REFUSALS = Counter(
    "msgctl_inbound_refused_total",
    "Records of webhooks that were dropped, by channel and reason; the log says once a minute what to do.",
    ["channel", "reason"],
    registry=REGISTRY,
)
DELIVERY_DURATION = Histogram(
    "msgctl_delivery_request_duration_seconds",
    "How long calls of providers and callbacks took.",
    ["channel"],
    buckets=CALL_BUCKETS_S,
    registry=REGISTRY,
)
OPEN_SOCKETS = Gauge("msgctl_gateway_sockets", "Sockets that are open here.", registry=REGISTRY)
FRAMES = Counter("msgctl_gateway_frames_total", "Frames by direction: in, out.", ["direction"], registry=REGISTRY)
SOCKETS_CLOSED = Counter(
    "msgctl_gateway_sockets_closed_total",
    "Sockets that the gateway closed, by close code; 4408 is a reader too slow.",
    ["code"],
    registry=REGISTRY,
)
LOOP_LAG = Gauge(
    "msgctl_event_loop_lag_seconds",
    "The longest this process kept its event loop waiting since the last scrape.",
    registry=REGISTRY,
)
HEAP_BLOCKS = Gauge(
    "msgctl_heap_blocks",
    "Blocks of memory that Python has in use here; what a peak leaves behind is in process_resident_memory_bytes.",
    registry=REGISTRY,
)
HEAP_BLOCKS.set_function(sys.getallocatedblocks)
