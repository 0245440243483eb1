"""A TCP address that leads new connections to another server and leaves the old ones, as DNS and proxies do."""

import asyncio

from tools.support.tcp_server import TcpServer


class MovingAddress(TcpServer):
    """Forwards connections for the length of an `async with`.

    Args:
        port: the server of new connections, on 127.0.0.1, until `move`.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port
        self.connections = 0
        """How many connections were made so far."""

    def move(self, port: int) -> None:
        """Lead new connections to another server. Old connections stay open."""
        self._target = port

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection in both directions until one end closes."""
        self.connections += 1
        answers, upstream = await asyncio.open_connection("127.0.0.1", self._target)
        await _forward_both(reader, writer, answers, upstream)


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
