"""The worker: leases messages and processes each with `msgctl.processing.pipeline`. Start with `loop`."""
