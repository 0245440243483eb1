"""A short memory of rows: bounded, one query for many who ask at once, and it forgets on command."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

ABSENT_TTL = 2.0
"""Seconds an absent row is remembered as absent: enough to blunt a flood, too short to annoy its maker."""

Row = TypeVar("Row")


class Cache(Generic[Row]):
    """What was found of each id, for a while.

    Args:
        load: asks the database.
        ttl: seconds a row is remembered.
        size: ids remembered at most; the one not asked for longest goes first.
    """

    def __init__(self, load: Callable[[str], Awaitable[Row | None]], *, ttl: float, size: int = 10_000) -> None:
        self._load = load
        self._ttl = ttl
        self._size = size
        self._known: OrderedDict[str, tuple[float, Row | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Row | None]] = {}

    async def find(self, row_id: str) -> Row | None:
        """The remembered row, or what `load` says; whoever asks meanwhile shares that one query."""
        expires, row = self._known.get(row_id, (0.0, None))
        if expires > asyncio.get_running_loop().time():
            self._known.move_to_end(row_id)
            return row
        task = self._loading.get(row_id)
        if task is None:
            task = asyncio.create_task(self._fetch(row_id))
            self._loading[row_id] = task
            task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    def drop(self, row_id: str) -> None:
        """Forget one id; an answer that is under way may be of before the change and is not remembered."""
        self._known.pop(row_id, None)
        self._loading.pop(row_id, None)

    def clear(self) -> None:
        """Forget all, as when notifications may have been missed."""
        self._known.clear()
        self._loading.clear()

    async def _fetch(self, row_id: str) -> Row | None:
        task = asyncio.current_task()
        try:
            row = await self._load(row_id)
            if self._loading.get(row_id) is task:
                self._remember(row_id, row)
            return row
        finally:
            if self._loading.get(row_id) is task:
                del self._loading[row_id]

    def _remember(self, row_id: str, row: Row | None) -> None:
        ttl = self._ttl if row is not None else min(self._ttl, ABSENT_TTL)
        self._known[row_id] = (asyncio.get_running_loop().time() + ttl, row)
        self._known.move_to_end(row_id)
        if len(self._known) > self._size:
            self._known.popitem(last=False)


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Look at a failure that nobody waits for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
