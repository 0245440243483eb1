"""RQ as it comes: its own queue, its own workers, a job that does nothing."""

from collections.abc import Callable

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from msgctl.config.sources import load

QUEUE = "stock"


def nothing(number: int) -> None:
    """The job; the number makes each one its own."""


def fill(count: int, finish: Callable[[], None]) -> None:
    """Enqueue jobs, one at a time."""
    queue = Queue(QUEUE, connection=_redis())
    for number in range(count):
        queue.enqueue(nothing, number)
    finish()


def drain(count: int, finish: Callable[[], None], *, fork: bool) -> None:
    """Work so many jobs.

    Args:
        count: how many.
        finish: called when they are done.
        fork: each job in a child, RQ's default; or in the worker's own process.
    """
    redis = _redis()
    kind = Worker if fork else SimpleWorker
    worker = kind([Queue(QUEUE, connection=redis)], connection=redis)
    worker.work(logging_level="WARNING", max_jobs=count)
    finish()


def _redis() -> Redis:
    settings = load().settings.redis
    return Redis(host=settings.host, port=settings.port)
