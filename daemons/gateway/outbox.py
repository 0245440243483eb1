"""What waits to be written to one socket: bounded, so that a client which does not read costs no memory."""

import asyncio
from collections.abc import Callable, Iterable

from starlette.types import Message, Send

from daemons.gateway.waiting import Gate
from msgctl.metrics import definitions as metrics
from msgctl.tasks import cancel

FRAMES_OUT = metrics.FRAMES.labels("out")
MAX_SIZE = 1_048_576
"""Bytes that may wait for one socket before more of them are its end."""


class Outbox:
    """The frames for one socket, written one after the other, by a task that lives while there are any.

    Args:
        send: the socket's ASGI `send`.
        max_frames: how many frames may wait.
        timeout: seconds one frame may take to be written.
        give_up: called once when the client is too slow; nothing is written after that.
    """

    __slots__ = (
        "_abandoned",
        "_closed",
        "_emptied",
        "_give_up",
        "_max_frames",
        "_send",
        "_size",
        "_timeout",
        "_waiting",
        "_writer",
    )

    def __init__(self, send: Send, *, max_frames: int, timeout: float, give_up: Callable[[], None]) -> None:
        self._send = send
        self._max_frames = max_frames
        self._timeout = timeout
        self._give_up = give_up
        self._waiting: list[Message] = []  # so few that taking the first is cheap; an empty deque is 760 bytes
        self._size = 0
        self._writer: asyncio.Task[None] | None = None
        self._emptied = Gate()
        self._closed = False
        self._abandoned = False

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
            if len(self._waiting) + held >= self._max_frames or self._size > MAX_SIZE:
                self._abandon()
                return
            self._size += _bytes(frame)
            self._waiting.append({"type": "websocket.send", "text": frame})
        if len(self._waiting) + held > self._max_frames:
            self._abandon()
            return
        self._begin_to_write()

    async def offer(self, frames: Iterable[str]) -> None:
        """Queue frames as fast as the client reads; for what it asked for itself, however much that is."""
        for frame in frames:
            while not self._closed and (len(self._waiting) * 2 >= self._max_frames or self._size * 2 > MAX_SIZE):
                self._emptied.clear()
                await self._emptied.wait()
            self.put([frame])

    def close(self, code: int, reason: str) -> None:
        """Queue the end of the socket; nothing comes after it."""
        if not self._closed:
            self._closed = True
            self._waiting.append({"type": "websocket.close", "code": code, "reason": reason})
            self._begin_to_write()
            self._emptied.set()

    async def stop(self) -> None:
        """Write nothing more: the socket is gone."""
        self._closed = True
        self._emptied.set()
        if self._writer is not None:
            await cancel(self._writer)
        self._give_up = _nobody  # whose method it is holds this outbox: no cycle shall outlive the socket

    def _begin_to_write(self) -> None:
        if self._writer is None and self._waiting:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write until nothing waits, the socket is closed, or its client is given up or gone."""
        try:
            while self._waiting:
                message = self._waiting.pop(0)
                self._size -= _bytes(message.get("text", ""))
                self._emptied.set()
                async with asyncio.timeout(self._timeout):
                    await self._send(message)
                FRAMES_OUT.inc()
        except TimeoutError:
            self._abandon()
        except OSError:  # uvicorn's word for a client that is gone
            self._closed = True
            self._waiting.clear()
            self._emptied.set()
        finally:
            self._writer = None

    def _abandon(self) -> None:
        self._closed = True
        self._emptied.set()
        self._waiting.clear()
        if not self._abandoned:
            self._abandoned = True
            self._give_up()


def _bytes(frame: str) -> int:
    return len(frame) if frame.isascii() else len(frame.encode())


def _nobody() -> None:
    """Nobody is left to be given up."""
