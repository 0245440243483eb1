"""Asyncio tasks: background tasks, prefetching, and cancellation."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_RETRY_INTERVAL_S = 0.1
"""Seconds between two cancellations of the same task."""


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, wait until they have ended, and raise the exception of a task that failed.

    The cancellation is repeated until the tasks have ended. redis-py 8 swallows a cancellation that arrives while
    it connects, and Python 3.11's `asyncio.wait_for` swallows one that arrives together with a result.
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


async def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine to its end and return its result, even if the current task is cancelled meanwhile.

    A cancellation that arrives meanwhile is delivered at the next `await` of the current task. Use it for a
    request whose effect cannot be taken back, because its result must be recorded.
    """
    request = asyncio.create_task(coroutine)
    try:
        return await asyncio.shield(request)
    except asyncio.CancelledError:
        if request.cancelled():
            raise
        result = await request
        current = asyncio.current_task()
        if current is not None:
            current.cancel()
        return result


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines as tasks within the context, then cancel them and raise the exception of one that failed."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await cancel(*tasks)


@asynccontextmanager
async def prefetch(source: AsyncGenerator[T], max_items: int = 2) -> AsyncIterator[AsyncIterator[T]]:
    """Read items from a source ahead of the reader, so that it fetches the next item while the reader uses one.

    While the reader computes, the event loop receives no answer. Only the request that follows an item at once
    overlaps with the computation. If each item takes two requests, prefetch the first with a `prefetch` of its
    own.

    Args:
        source: the items. It is closed at the end, and its exception is raised to the reader.
        max_items: the most items that are fetched ahead.
    """
    queue: asyncio.Queue[tuple[T] | None] = asyncio.Queue(max_items)
    faults: list[Exception] = []

    async def fill() -> None:
        try:
            async with aclosing(source):
                async for item in source:
                    await queue.put((item,))
        except Exception as error:  # noqa: BLE001 - the reader gets every exception
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
