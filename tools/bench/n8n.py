"""The quickest n8n there is: an HTTP server that echoes each message after a fixed delay and keeps no books.

    python -m tools.bench.n8n SECONDS [PORT]

It writes its address to standard output.
"""

import asyncio
import sys
from asyncio import Transport
from typing import cast

import httptools
import msgspec
import uvloop

FILLER = " Thank you for your message; here is a canned answer of a realistic length. " * 4


class Call(msgspec.Struct):
    """What is read of a call."""

    message: str


class Webhook(asyncio.Protocol):
    """One connection, its calls one after the other."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """A call begins."""
        self._body = b""

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        self._body += part

    def on_message_complete(self) -> None:
        """Answer it when its time has come."""
        text = msgspec.json.decode(self._body, type=Call).message
        answer = msgspec.json.encode(
            {"message": f"Echo: {text}{FILLER}", "tokensUsed": 120, "model": "none", "finishReason": "stop"}
        )
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        if self._delay:
            self._loop.call_later(self._delay, self._answer, head.encode() + answer)
        else:
            self._answer(head.encode() + answer)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main(delay: float, port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Webhook(delay), "127.0.0.1", port, backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
