"""Circuit breakers: a workflow that keeps failing is left alone for a while, by all workers at once.

closed ── many failures ──▶ open ── its time is over ──▶ half-open ── the probe succeeds ──▶ closed
                             ▲                               │
                             └────── the probe fails ────────┘  each time for twice as long, up to a cap
"""
