"""The function that every job hash names as `msgctl.rqueue.job.refuse`; that value never changes."""

from msgctl.queue.job import refuse

__all__ = ["refuse"]
