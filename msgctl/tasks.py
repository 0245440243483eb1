"""Ending asyncio tasks."""

import asyncio
from typing import Any

PAUSE = 0.1
"""Seconds between two cancellations of the same task."""


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone; a bug that ended one of them is raised here.

    They are cancelled again until they are gone: redis-py 8 swallows a cancellation that reaches it while it
    connects, and Python 3.11's `asyncio.wait_for` one that comes together with a result.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=PAUSE)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error
