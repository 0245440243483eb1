"""asyncio's `Event` and `Queue` as one socket needs them.

Each deque inside asyncio's own takes 760 bytes though it is empty, and a socket would have eight of them. Here
waiting costs only while somebody waits.
"""

import asyncio
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class SlimEvent:
    """What can be waited for until it is open; as `asyncio.Event`, and named as that is.

    Args:
        is_open: how it stands at first.
    """

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_open: bool = False) -> None:
        self._is_set = is_open
        self._waiters: list[asyncio.Future[None]] | None = None

    def set(self) -> None:
        """Open it and wake all who wait."""
        self._is_set = True
        waiters, self._waiters = self._waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Close it."""
        self._is_set = False

    async def wait(self) -> None:
        """Return once it has been opened."""
        if self._is_set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter


class SlimQueue(Generic[ItemT]):
    """What comes for one reader, in order; as an `asyncio.Queue` without a bound, and named as that is."""

    __slots__ = ("_incoming", "_outgoing", "_reader")

    def __init__(self) -> None:
        self._incoming: list[ItemT] = []
        self._outgoing: list[ItemT] = []  # the oldest of them, turned round: taken from its end
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, item: ItemT) -> None:
        """Add something."""
        self._incoming.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def empty(self) -> bool:
        """Whether there is nothing to be taken."""
        return not self._incoming and not self._outgoing

    async def get(self) -> ItemT:
        """Take the oldest, once there is one; for one reader at a time."""
        while self.empty():
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._outgoing:
            self._outgoing, self._incoming = self._incoming[::-1], []
        return self._outgoing.pop()
