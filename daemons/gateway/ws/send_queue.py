"""The bounded queue of frames for one socket, so that a client that does not read costs no memory.

Each empty deque of an asyncio `Event` or `Queue` takes 760 bytes, and a socket would have eight of them.
`SlimEvent` and `SlimQueue` use memory for waiting only while a task waits.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from starlette.types import Message, Send

from msgctl.aio import cancel
from msgctl.observability.metrics import definitions as metrics

ItemT = TypeVar("ItemT")
FRAMES_SENT = metrics.FRAMES.labels("out")
MAX_QUEUED_BYTES = 1_048_576
"""Bytes that may wait for one socket. With more, its client counts as too slow."""


class SendQueue:
    """The frames for one socket, written in order by a task that exists only while frames wait.

    Args:
        send: the ASGI `send` of the socket.
        max_frames: the number of frames that may wait.
        timeout: seconds that the write of one frame may take.
        on_slow_client: called once when the client is too slow. Nothing is written after that.
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
        self._pending: list[Message] = []  # short, so pop(0) is cheap; an empty deque takes 760 bytes
        self._size_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._room = SlimEvent()
        self._closed = False
        self._client_dropped = False

    def put(self, frames: Iterable[str], *, held: int = 0) -> None:
        """Queue live frames. If too many wait, the client is dropped. After `close` this does nothing.

        Args:
            frames: text frames. Empty if the session holds the frame back.
            held: the number of frames that the session holds back for this socket.
        """
        if self._closed:
            return
        for frame in frames:
            # Checked before each frame, so that a single large reply does not drop the client.
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
        """Queue frames as fast as the client reads them. Use this for answers to its own requests."""
        for frame in frames:
            while not self._closed and (
                len(self._pending) * 2 >= self._max_frames or self._size_bytes * 2 > MAX_QUEUED_BYTES
            ):
                self._room.clear()
                await self._room.wait()
            self.put([frame])

    def close(self, code: int, reason: str) -> None:
        """Queue the close of the socket. Later frames are dropped."""
        if not self._closed:
            self._closed = True
            self._pending.append({"type": "websocket.close", "code": code, "reason": reason})
            self._start_writer()
            self._room.set()

    async def stop(self) -> None:
        """Stop writing, because the socket is closed."""
        self._closed = True
        self._room.set()
        if self._writer is not None:
            await cancel(self._writer)
        self._on_slow_client = _do_nothing  # its bound method would keep this queue in a reference cycle

    def _start_writer(self) -> None:
        if self._writer is None and self._pending:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write until no frame waits, the socket is closed, or its client is dropped or has disconnected."""
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
        except OSError:  # uvicorn raises this if the client has disconnected
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
    """Replace `on_slow_client` after the end."""


class SlimEvent:
    """A small replacement of `asyncio.Event` with the same method names.

    Args:
        is_open: whether the event is set at first.
    """

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_open: bool = False) -> None:
        self._is_set = is_open
        self._waiters: list[asyncio.Future[None]] | None = None

    def set(self) -> None:
        """Set the event and wake all waiting tasks."""
        self._is_set = True
        waiters, self._waiters = self._waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Reset the event."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until the event is set."""
        if self._is_set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter


class SlimQueue(Generic[ItemT]):
    """A small replacement of an unbounded `asyncio.Queue` for one reader, with the same method names."""

    __slots__ = ("_incoming", "_outgoing", "_reader")

    def __init__(self) -> None:
        self._incoming: list[ItemT] = []
        self._outgoing: list[ItemT] = []  # the oldest items in reverse order, taken from the end
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, item: ItemT) -> None:
        """Add an item."""
        self._incoming.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def empty(self) -> bool:
        """Return whether the queue is empty."""
        return not self._incoming and not self._outgoing

    async def get(self) -> ItemT:
        """Wait for the oldest item and take it. Only one task may wait at a time."""
        while self.empty():
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._outgoing:
            self._outgoing, self._incoming = self._incoming[::-1], []
        return self._outgoing.pop()
