"""A TCP proxy before Redis that counts the commands of its clients and does something to one of them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from tools.support.tcp_server import TcpServer

GREETINGS = {"HELLO", "AUTH", "SELECT", "CLIENT", "PING"}
"""What a client says when it connects; not counted, since a retry would shift the numbers."""
SETTLED = 0.03
"""Seconds without a byte after which a reply is whole."""


class Fault(StrEnum):
    """What happens at the chosen command."""

    DROP = "connection cut before the command"
    SWALLOW = "command done, reply swallowed"
    KILL = "process killed after the command"


class Proxy(TcpServer):
    """Stands between clients and Redis for the length of an `async with`.

    Args:
        host: where Redis is.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._target = host, port
        self._fault: Fault | None = None
        self._at = 0
        self._kill: Callable[[], None] = lambda: None
        self.commands: list[str] = []
        """The counted commands so far, by name."""
        self.struck = asyncio.Event()
        """Set when the fault has happened."""

    def strike(self, fault: Fault, at: int, kill: Callable[[], None] = lambda: None) -> None:
        """Let a fault happen once, at the command of this number, from 1.

        Args:
            fault: what happens.
            at: the number of the command.
            kill: ends the client process.
        """
        self._fault, self._at, self._kill = fault, at, kill

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the commands of one client."""
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
