"""A short memory of rows: bounded, one query for many who ask at once, and it forgets on command."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

ABSENT_ROW_TTL_S = 2.0
"""Seconds an absent row is remembered as absent: enough to blunt a flood, too short to annoy its maker."""

CachedRow = TypeVar("CachedRow")


class RowCache(Generic[CachedRow]):
    """What was found of each id, for a while.

    Args:
        load: asks the database.
        ttl_s: seconds a row is remembered.
        max_rows: ids remembered at most; the one not asked for longest goes first.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[CachedRow | None]], *, ttl_s: float, max_rows: int = 10_000
    ) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._max_rows = max_rows
        self._rows: OrderedDict[str, tuple[float, CachedRow | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[CachedRow | None]] = {}

    async def get(self, row_id: str) -> CachedRow | None:
        """The remembered row, or what `load` says; whoever asks meanwhile shares that one query."""
        expires, row = self._rows.get(row_id, (0.0, None))
        if expires > asyncio.get_running_loop().time():
            self._rows.move_to_end(row_id)
            return row
        task = self._loading.get(row_id)
        if task is None:
            task = asyncio.create_task(self._load_row(row_id))
            self._loading[row_id] = task
            task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(task)

    def invalidate(self, row_id: str) -> None:
        """Forget one id; an answer that is under way may be of before the change and is not remembered."""
        self._rows.pop(row_id, None)
        self._loading.pop(row_id, None)

    def clear(self) -> None:
        """Forget all, as when notifications may have been missed."""
        self._rows.clear()
        self._loading.clear()

    async def _load_row(self, row_id: str) -> CachedRow | None:
        task = asyncio.current_task()
        try:
            row = await self._load(row_id)
            if self._loading.get(row_id) is task:
                self._remember(row_id, row)
            return row
        finally:
            if self._loading.get(row_id) is task:
                del self._loading[row_id]

    def _remember(self, row_id: str, row: CachedRow | None) -> None:
        ttl = self._ttl_s if row is not None else min(self._ttl_s, ABSENT_ROW_TTL_S)
        self._rows[row_id] = (asyncio.get_running_loop().time() + ttl, row)
        self._rows.move_to_end(row_id)
        if len(self._rows) > self._max_rows:
            self._rows.popitem(last=False)


def _retrieve_exception(task: "asyncio.Task[Any]") -> None:
    """Look at a failure that nobody waits for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
