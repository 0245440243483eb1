"""Deliveries side by side, those of one conversation one after the other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgctl.aio import cancel
from msgctl.delivery.stream_entry import StreamEntry

QUEUED_ENTRIES_PER_SLOT = 4
"""Entries that may wait in memory for each one that is worked; further ones wait in Redis."""


class OrderedExecutor:
    """One queue a conversation; as many of them move at once as there are slots.

    Args:
        slots: deliveries worked at once, and entries of one conversation that may wait: a fraction of the room, so
            that a receiver which is slow over a long backlog leaves some to the others.
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
        """Put an entry at the end of its conversation's lane; False if there is no room, in that or in all."""
        key = entry.event.conversation_id
        queue = self._queues.get(key)
        if self._free_capacity <= 0 or (queue is not None and len(queue) >= self._max_per_conversation):
            return False
        self._free_capacity -= 1
        if queue is not None:
            queue.append(entry)
            return True
        self._queues[key] = deque([entry])
        task = asyncio.create_task(self._run_queue(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new, let what is being sent end, and cancel what does not within `patience` seconds."""
        for queue in self._queues.values():
            queue.clear()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        await cancel(*late)

    async def _run_queue(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            async with self._slots:
                if not queue:
                    break
                entry = queue.popleft()
                try:
                    await self._work(entry)
                finally:
                    self._free_capacity += 1
        del self._queues[key]
