"""What waits to be written to one socket: bounded, so that a client which does not read costs no memory."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from starlette.types import Message, Send

from msgctl.metrics import FRAMES

FRAMES_OUT = FRAMES.labels("out")
MAX_SIZE = 1_048_576
"""Characters that may wait for one socket before more of them are its end."""


class Outbox:
    """The frames for one socket, written one after the other by `run`.

    Args:
        send: the socket's ASGI `send`.
        max_frames: how many frames may wait.
        timeout: seconds one frame may take to be written.
        give_up: called once when the client is too slow; nothing is written after that.
    """

    def __init__(self, send: Send, *, max_frames: int, timeout: float, give_up: Callable[[], None]) -> None:
        self._send = send
        self._max_frames = max_frames
        self._timeout = timeout
        self._give_up = give_up
        self._waiting: deque[Message] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closed = False
        self._abandoned = False

    def put(self, frames: Iterable[str], *, held: int = 0) -> None:
        """Queue frames that cannot wait; too many of them are the client's end. After `close` this does nothing.

        Args:
            frames: text frames.
            held: how many more wait elsewhere for the same socket.
        """
        if self._closed:
            return
        for frame in frames:
            # Looked at before each frame, so that one large reply alone is no reason to give a client up.
            if len(self._waiting) + held >= self._max_frames or self._size > MAX_SIZE:
                self._abandon()
                return
            self._size += len(frame)
            self._waiting.append({"type": "websocket.send", "text": frame})
        self._filled.set()

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
            self._filled.set()
            self._emptied.set()

    async def run(self) -> None:
        """Write until the socket is closed or its client is given up or gone."""
        try:
            while not self._abandoned:
                while not self._waiting:
                    self._filled.clear()
                    await self._filled.wait()
                message = self._waiting.popleft()
                self._size -= len(message.get("text", ""))
                self._emptied.set()
                async with asyncio.timeout(self._timeout):
                    await self._send(message)
                FRAMES_OUT.inc()
                if message["type"] == "websocket.close":
                    return
        except TimeoutError:
            self._abandon()
        except OSError:  # uvicorn's word for a client that is gone
            self._closed = True
            self._emptied.set()

    def _abandon(self) -> None:
        self._closed = True
        self._emptied.set()
        if not self._abandoned:
            self._abandoned = True
            self._waiting.clear()
            self._give_up()
