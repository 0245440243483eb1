"""What waits to be written to one socket: bounded, so that a client which does not read costs no memory."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from starlette.types import Message, Send

from msgctl.aio import cancel
from msgctl.observability.metrics import definitions as metrics

ItemT = TypeVar("ItemT")
FRAMES_SENT = metrics.FRAMES.labels("out")
MAX_QUEUED_BYTES = 1_048_576
"""Bytes that may wait for one socket before more of them are its end."""


class SendQueue:
    """The frames for one socket, written one after the other, by a task that lives while there are any.

    Args:
        send: the socket's ASGI `send`.
        max_frames: how many frames may wait.
        timeout: seconds one frame may take to be written.
        on_slow_client: called once when the client is too slow; nothing is written after that.
    """

    __slots__ = (
        "_client_dropped",
        "_closed",
        "_max_frames",
        "_on_slow_client",
        "_pending",
        "_room",
        "_send",
        "_size_bytes",
        "_timeout_s",
        "_writer",
    )

    def __init__(self, send: Send, *, max_frames: int, timeout: float, on_slow_client: Callable[[], None]) -> None:
        self._send = send
        self._max_frames = max_frames
        self._timeout_s = timeout
        self._on_slow_client = on_slow_client
        self._pending: list[Message] = []  # so few that taking the first is cheap; an empty deque is 760 bytes
        self._size_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._room = SlimEvent()
        self._closed = False
        self._client_dropped = False

    def put(self, frames: Iterable[str], *, held: int = 0) -> None:
        """Queue frames that cannot wait; too many of them are the client's end. After `close` this does nothing.

        Args:
            frames: text frames; none where what came is among the held ones.
            held: how many more wait elsewhere for the same socket.
        """
        if self._closed:
            return
        for frame in frames:
            # Looked at before each frame, so that one large reply alone is no reason to give a client up.
            if len(self._pending) + held >= self._max_frames or self._size_bytes > MAX_QUEUED_BYTES:
                self._drop_client()
                return
            self._size_bytes += _size_of(frame)
            self._pending.append({"type": "websocket.send", "text": frame})
        if len(self._pending) + held > self._max_frames:
            self._drop_client()
            return
        self._start_writer()

    async def put_with_backpressure(self, frames: Iterable[str]) -> None:
        """Queue frames as fast as the client reads; for what it asked for itself, however much that is."""
        for frame in frames:
            while not self._closed and (
                len(self._pending) * 2 >= self._max_frames or self._size_bytes * 2 > MAX_QUEUED_BYTES
            ):
                self._room.clear()
                await self._room.wait()
            self.put([frame])

    def close(self, code: int, reason: str) -> None:
        """Queue the end of the socket; nothing comes after it."""
        if not self._closed:
            self._closed = True
            self._pending.append({"type": "websocket.close", "code": code, "reason": reason})
            self._start_writer()
            self._room.set()

    async def stop(self) -> None:
        """Write nothing more: the socket is gone."""
        self._closed = True
        self._room.set()
        if self._writer is not None:
            await cancel(self._writer)
        self._on_slow_client = (
            _do_nothing  # whose method it is holds this outbox: no cycle shall outlive the socket
        )

    def _start_writer(self) -> None:
        if self._writer is None and self._pending:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write until nothing waits, the socket is closed, or its client is given up or gone."""
        try:
            while self._pending:
                message = self._pending.pop(0)
                self._size_bytes -= _size_of(message.get("text", ""))
                self._room.set()
                async with asyncio.timeout(self._timeout_s):
                    await self._send(message)
                FRAMES_SENT.inc()
        except TimeoutError:
            self._drop_client()
        except OSError:  # uvicorn's word for a client that is gone
            self._closed = True
            self._pending.clear()
            self._room.set()
        finally:
            self._writer = None

    def _drop_client(self) -> None:
        self._closed = True
        self._room.set()
        self._pending.clear()
        if not self._client_dropped:
            self._client_dropped = True
            self._on_slow_client()


def _size_of(frame: str) -> int:
    return len(frame) if frame.isascii() else len(frame.encode())


def _do_nothing() -> None:
    """Nobody is left to be given up."""


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
