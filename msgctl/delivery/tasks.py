"""Ending asyncio tasks."""

import asyncio
from typing import Any

PAUSE = 0.1
"""Seconds between two cancellations of the same task."""


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended; how they ended is theirs to tell.

    Once is not enough on Python 3.11: its `asyncio.wait_for`, under every command of redis-py, can swallow a
    cancellation that comes together with its result.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=PAUSE)
