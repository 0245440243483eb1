"""A TCP address that leads new connections to another server and leaves the old ones, as DNS and proxies do."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class MovingAddress:
    """Forwards connections for the length of an `async with`.

    Args:
        port: the server of new connections, on 127.0.0.1, until `move`.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        """How many connections were made so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def move(self, port: int) -> None:
        """Lead new connections to another server. Old connections stay open."""
        self._target = port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.CancelledError):
                answers, upstream = await asyncio.open_connection("127.0.0.1", self._target)
                await _forward_both(reader, writer, answers, upstream)
        finally:
            writer.close()
            self._tasks.discard(task)


async def _forward_both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answers: asyncio.StreamReader,
    upstream: asyncio.StreamWriter,
) -> None:
    """Forward in both directions until one end closes."""
    copies = [asyncio.create_task(_copy(reader, upstream)), asyncio.create_task(_copy(answers, writer))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        upstream.close()  # before the next await, which may be cancelled
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
