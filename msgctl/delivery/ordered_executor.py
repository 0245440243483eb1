"""Concurrent deliveries in which those of one conversation run in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgctl.aio import cancel
from msgctl.delivery.response_stream import StreamEntry

QUEUED_ENTRIES_PER_SLOT = 4
"""Entries that may wait in memory per slot; further ones wait in Redis."""


class OrderedExecutor:
    """Runs one queue per conversation, as many at a time as there are slots.

    Args:
        slots: deliveries that run at a time, and entries that one conversation may queue. The latter is a fraction
            of the capacity, so that a slow receiver with a long backlog leaves capacity to the others.
        work: delivers one entry and does not raise.
    """

    def __init__(self, slots: int, work: Callable[[StreamEntry], Awaitable[None]]) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._free_capacity = slots * (1 + QUEUED_ENTRIES_PER_SLOT)
        self._max_per_conversation = slots
        self._work = work
        self._queues: dict[str, deque[StreamEntry]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, entry: StreamEntry) -> bool:
        """Append an entry to the queue of its conversation; return False if that queue or the executor is full."""
        conversation_id = entry.event.conversation_id
        queue = self._queues.get(conversation_id)
        if self._free_capacity <= 0 or (queue is not None and len(queue) >= self._max_per_conversation):
            return False
        self._free_capacity -= 1
        if queue is not None:
            queue.append(entry)
            return True
        self._queues[conversation_id] = deque([entry])
        task = asyncio.create_task(self._run_queue(conversation_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def drain(self, timeout_s: float) -> None:
        """Start nothing new, let running deliveries finish, and cancel those that last longer than `timeout_s`."""
        for queue in self._queues.values():
            queue.clear()
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=timeout_s)
        await cancel(*unfinished)

    async def _run_queue(self, conversation_id: str) -> None:
        queue = self._queues[conversation_id]
        while queue:
            async with self._slots:
                if not queue:
                    break
                entry = queue.popleft()
                try:
                    await self._work(entry)
                finally:
                    self._free_capacity += 1
        del self._queues[conversation_id]
