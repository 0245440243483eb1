"""Running asyncio tasks beside others, ahead of others, and ending them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_RETRY_INTERVAL_S = 0.1
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
        _, pending = await asyncio.wait(pending, timeout=CANCEL_RETRY_INTERVAL_S)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines as tasks while the context lasts, then cancel them; a bug that ended one is raised then."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await cancel(*tasks)


@asynccontextmanager
async def prefetch(source: AsyncGenerator[T], max_items: int = 2) -> AsyncIterator[AsyncIterator[T]]:
    """Let a source run ahead of who reads it, so that the next answer is on its way while the last one is read.

    A reader that computes lets no answer in meanwhile: only what is asked right after an item overlaps with it. So
    where each item takes two questions, let the first run ahead of the second by an `ahead` of its own.

    Args:
        source: what to read, closed at the end; what it raises is raised to the reader.
        max_items: items it may be ahead.
    """
    queue: asyncio.Queue[tuple[T] | None] = asyncio.Queue(max_items)
    faults: list[Exception] = []

    async def fill() -> None:
        try:
            async with aclosing(source):
                async for item in source:
                    await queue.put((item,))
        except Exception as error:  # noqa: BLE001 - it is for the reader, whatever it is
            faults.append(error)
        await queue.put(None)

    async def items() -> AsyncIterator[T]:
        while (found := await queue.get()) is not None:
            yield found[0]
        if faults:
            raise faults[0]

    filling = asyncio.create_task(fill())
    try:
        yield items()
    finally:
        await cancel(filling)
