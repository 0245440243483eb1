"""A TCP proxy before Redis that counts the commands of its clients and does something to one of them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

GREETINGS = {"HELLO", "AUTH", "SELECT", "CLIENT", "PING"}
"""What a client says when it connects; not counted, since a retry would shift the numbers."""
SETTLED = 0.03
"""Seconds without a byte after which a reply is whole."""


class Fault(StrEnum):
    """What happens at the chosen command."""

    DROP = "connection cut before the command"
    SWALLOW = "command done, reply swallowed"
    KILL = "process killed after the command"


class Proxy:
    """Stands between clients and Redis for the length of an `async with`.

    Args:
        host: where Redis is.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._lines: set[asyncio.Task[None]] = set()
        self._fault: Fault | None = None
        self._at = 0
        self._kill: Callable[[], None] = lambda: None
        self.commands: list[str] = []
        """The counted commands so far, by name."""
        self.struck = asyncio.Event()
        """Set when the fault has happened."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await self._server.wait_closed()

    def strike(self, fault: Fault, at: int, kill: Callable[[], None] = lambda: None) -> None:
        """Let a fault happen once, at the command of this number, from 1.

        Args:
            fault: what happens.
            at: the number of the command.
            kill: ends the client process.
        """
        self._fault, self._at, self._kill = fault, at, kill

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one end went, or the proxy is closed
        finally:
            self._lines.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, upstream = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(_copy(answers, writer))
        try:
            await self._forward(reader, upstream, back, answers)
        finally:
            upstream.close()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        back: asyncio.Task[None],
        answers: asyncio.StreamReader,
    ) -> None:
        while True:
            name, raw = await _read_command(reader)
            if name not in GREETINGS:
                self.commands.append(name)
            if self._fault is None or name in GREETINGS or len(self.commands) != self._at:
                upstream.write(raw)
                continue
            fault, self._fault = self._fault, None
            if fault is not Fault.DROP:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                upstream.write(raw)
                await _whole_reply(answers)
            if fault is Fault.KILL:
                self._kill()
            self.struck.set()
            return


async def _read_command(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """One command as RESP has it: its name and its bytes."""
    head = await reader.readuntil(b"\r\n")
    raw, words = bytearray(head), []
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(size[1:]) + 2)
        raw += size + word
        words.append(word[:-2])
    return words[0].decode().upper(), bytes(raw)


async def _whole_reply(answers: asyncio.StreamReader) -> None:
    """Wait until a command has been answered, and forget the answer."""
    await answers.read(65536)
    with suppress(TimeoutError):
        while await asyncio.wait_for(answers.read(65536), SETTLED):
            pass


async def _copy(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await answers.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
