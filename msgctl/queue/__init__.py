"""The queue, in RQ's own keys and format: `queue` for producers and operators, `leases` for workers."""
