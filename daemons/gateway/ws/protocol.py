"""uvicorn's two protocols, each with what it lacks here.

Of uvicorn's WebSocket implementations this is `websockets-sansio`: `websockets` stands on websockets' legacy API
and warns that it goes away; `wsproto` is pure Python and not a dependency. It stops reading while the application
is behind, and answers pings by itself.
"""

import asyncio
import socket
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from daemons.gateway.ws.slim_sync import SlimEvent, SlimQueue

FORCE_CLOSE_EXTENSION = "msgctl.cut"
"""The scope extension that holds `WebSocketProtocol.force_close`."""
SEND_BUFFER_BYTES = 32_768
"""Bytes the kernel may keep for a client that does not read, twice that by its own count. Left to itself it keeps
4 MB, and that for each of a thousand such clients."""
TCP_USER_TIMEOUT_S = 9.0
"""Seconds after which a client is gone that acknowledges nothing of what it was sent: its cable was pulled."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds a socket that was cut gets to read what it was sent, before it is reset."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that can be closed although its client does not read, and weighs little while it idles.

    Takes what uvicorn's does.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = cast("Any", SlimQueue[Any]())
        self.writable = cast("Any", SlimEvent(is_open=True))

    def handle_connect(self, event: Request) -> None:
        """Offer `cut` to the application, and keep no second copy of the headers, the token among them."""
        super().handle_connect(event)
        event.headers.clear()  # what the application shall see of them is in the scope
        if self.response.status_code == 101:
            _limit_socket_buffers(self.transport)
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[FORCE_CLOSE_EXTENSION] = self.force_close

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Let go of what the application alone has asked for: a cycle, which would outlive the socket for long."""
        super().on_task_complete(task)
        self.scope["extensions"] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """End the parser, which holds on to what it parses for: another cycle."""
        super().connection_lost(exc)
        self.conn.parser.close()

    def force_close(self, code: int, reason: str) -> None:
        """Close at once.

        ASGI's own `websocket.close` waits until the client has read what comes before, as a slow one never does.

        Args:
            code: the close code; it arrives if the client reads again within `LINGER`.
            reason: the same in words, 123 bytes at most.
        """
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        """Send for the application.

        Raises:
            ClientDisconnected: the socket is closed; also where uvicorn itself closed it a moment ago (bytes that
                are no frame, a ping without a pong), which it would call a fault of the application.
        """
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.accept":
            self.response.headers.clear()  # sent, and never looked at again

    def shutdown(self) -> None:
        """End with the server, but not later because of a client that does not read."""
        super().shutdown()
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


def _limit_socket_buffers(transport: asyncio.Transport) -> None:
    """Let the kernel keep little for this client, and wait for it no longer than that is worth."""
    client: socket.socket | None = transport.get_extra_info("socket")
    if client is None or client.family not in (socket.AF_INET, socket.AF_INET6):
        return
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT_S * 1000))
