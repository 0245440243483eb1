"""What is measured: counters and histograms of this process, and gauges of the whole pipeline.

Names carry their unit. Labels take few values: never a user, a message, a conversation or a workflow.
"""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.metrics.definitions import (
        ACCEPTED,
        ATTEMPTS,
        CLAIMS,
        CRASHES,
        DEAD_LETTERS,
        DELIVERIES,
        DELIVERY_DURATION,
        FAILURES,
        FRAMES,
        INBOUND,
        LEASES_LOST,
        LOOP_LAG,
        N8N_DURATION,
        SOCKETS,
        SOCKETS_CLOSED,
        STEP_DURATION,
    )
    from msgctl.metrics.registry import REGISTRY, render
    from msgctl.metrics.steps import Steps
else:
    __getattr__ = lazily(
        __name__,
        {
            "definitions": "ACCEPTED ATTEMPTS CLAIMS CRASHES DEAD_LETTERS DELIVERIES DELIVERY_DURATION FAILURES "
            "FRAMES INBOUND LEASES_LOST LOOP_LAG N8N_DURATION SOCKETS SOCKETS_CLOSED STEP_DURATION",
            "registry": "REGISTRY render",
            "steps": "Steps",
        },
    )

__all__ = [
    "ACCEPTED",
    "ATTEMPTS",
    "CLAIMS",
    "CRASHES",
    "DEAD_LETTERS",
    "DELIVERIES",
    "DELIVERY_DURATION",
    "FAILURES",
    "FRAMES",
    "INBOUND",
    "LEASES_LOST",
    "LOOP_LAG",
    "N8N_DURATION",
    "REGISTRY",
    "SOCKETS",
    "SOCKETS_CLOSED",
    "STEP_DURATION",
    "Steps",
    "render",
]
