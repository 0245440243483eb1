"""Measurements of msgctl beside the queues its users could have instead; `make bench-queue`, `make bench`."""
