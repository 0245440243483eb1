"""The WebSocket protocol of uvicorn with bounded memory, bounded control frames, and a close that always ends."""

import asyncio
import socket
import time
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import Frame
from websockets.http11 import Request

from daemons.gateway.limits import FrameBudget
from daemons.gateway.ws.close_codes import CLOSE_RATE_LIMITED, CLOSE_TOO_BIG
from daemons.gateway.ws.send_queue import SlimEvent, SlimQueue
from msgctl.config.settings import Settings
from msgctl.observability.metrics import definitions as metrics

FORCE_CLOSE_EXTENSION = "msgctl.cut"
"""The scope extension that contains `WebSocketProtocol.force_close`."""
SEND_BUFFER_BYTES = 32_768
"""The send buffer in the kernel for a client that does not read, in bytes. The kernel doubles it. Its default is
up to 4 MB for each of such clients."""
TCP_USER_TIMEOUT_S = 9.0
"""Seconds without a TCP acknowledgment after which a client counts as disconnected."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds a client gets to read the remaining bytes and to answer a close before its connection is reset."""
MAX_MESSAGE_FRAGMENTS = 1024
"""The frames of one message. Browsers send a message in a single frame; empty fragments would cost memory."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket. `make_websocket_protocol` creates the subclass with the settings.

    It extends `websockets-sansio` of uvicorn: the alternative `websockets` uses a deprecated API and warns of it,
    and `wsproto` is pure Python and not a dependency. Beyond its base class it

    - stops reading while the client does not read, because each ping is answered and would fill the send buffer;
    - limits the frames that the application never sees: pings, pongs, and fragments;
    - can be closed even if its client does not read;
    - uses little memory while idle.

    The constructor takes the arguments of its base class.
    """

    frames_per_minute = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = cast("Any", SlimQueue[Any]())
        self.writable = cast("Any", SlimEvent(is_open=True))
        self._frame_budget = FrameBudget(self.frames_per_minute, time.monotonic())
        self._write_paused = False
        self._ignoring = False

    @property
    def handshake_error(self) -> HTTPStatus | None:
        """The status for an upgrade request that websockets refused without an answer, or None."""
        if self.handshake_initiated:
            return None
        too_large = isinstance(self.conn.handshake_exc, SecurityError)
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST

    def handle_connect(self, event: Request) -> None:
        """Offer `force_close` to the application. Delete the copied headers, which contain the token."""
        super().handle_connect(event)
        event.headers.clear()  # the application finds them in the scope
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            _limit_socket_buffers(self.transport)
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[FORCE_CLOSE_EXTENSION] = self.force_close

    def handle_ping(self) -> None:
        """Answer a ping, which counts as a frame."""
        self._count_frame()
        if self._write_paused:  # the close of the application may have resumed reading
            self.transport.pause_reading()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Count a pong as a frame."""
        self._count_frame()
        super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Count a fragment as a frame, and limit the fragments of one message."""
        self._count_frame()
        if len(self.frames) >= MAX_MESSAGE_FRAGMENTS:
            self._stop_reading(CLOSE_TOO_BIG, "too many fragments")
        if self._ignoring:
            self.frames = []
        else:
            super().handle_cont(event)

    def pause_writing(self) -> None:
        """Stop reading as well. The client has to read before the gateway answers more of its frames."""
        super().pause_writing()
        self._write_paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again, unless the application is behind."""
        super().resume_writing()
        self._write_paused = False
        self._resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next event for the application, and read again once it has received all of them."""
        event: ASGIReceiveEvent = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._resume_reading()
        return event

    def keepalive_timeout(self) -> None:
        """Close the socket of a client that did not answer a ping, even if it does not read either."""
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Remove `force_close` from the scope: a reference cycle, which would stay in memory after the socket."""
        super().on_task_complete(task)
        self.scope["extensions"] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the parser, which is part of another reference cycle."""
        super().connection_lost(exc)
        self.conn.parser.close()

    def force_close(self, code: int, reason: str) -> None:
        """Close the socket immediately.

        `websocket.close` of ASGI waits until the client has read everything before it, which a slow client never
        does.

        Args:
            code: the close code. It arrives if the client reads again within `CLOSE_TIMEOUT_S`.
            reason: the reason in words, up to 123 bytes.
        """
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.read_paused = False
        self._resume_reading()
        self._limit_close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event of the application.

        Raises:
            ClientDisconnected: the socket is closed. This includes a close by uvicorn itself (invalid frames, a
                ping without a pong), for which uvicorn would raise a RuntimeError.
        """
        try:
            await super().send(message)
        except RuntimeError:
            if self.close_sent:
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.accept":
            self.response.headers.clear()  # sent, and not needed again
        elif self.close_timer is not None:
            self._limit_close()  # uvicorn's timer waits until the client has read everything

    def shutdown(self) -> None:
        """Close the socket with the server, even if its client does not read."""
        super().shutdown()
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def _count_frame(self) -> None:
        if not self._frame_budget.try_consume(time.monotonic()):
            self._stop_reading(CLOSE_RATE_LIMITED, "too many frames")

    def _stop_reading(self, code: int, reason: str) -> None:
        """Close the socket and read no more frames. The client can read the code until the timeout."""
        if not self.close_sent:
            metrics.SOCKETS_CLOSED.labels(code).inc()
        self.force_close(code, reason)
        self._ignoring = True
        self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not (self._write_paused or self.read_paused or self._ignoring):
            self.transport.resume_reading()

    def _limit_close(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


def make_websocket_protocol(settings: Settings) -> type[WebSocketProtocol]:
    """Create the protocol class of a gateway.

    Args:
        settings: `limits.frames`.
    """
    return type("ConfiguredWebSocketProtocol", (WebSocketProtocol,), {"frames_per_minute": settings.limits.frames})


def limit_unacknowledged(transport: asyncio.BaseTransport) -> socket.socket | None:
    """Limit the time without TCP acknowledgments of a client, and return its TCP socket if it has one."""
    client: socket.socket | None = transport.get_extra_info("socket")
    if client is None or client.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TCP_USER_TIMEOUT_S * 1000))
    return client


def _limit_socket_buffers(transport: asyncio.Transport) -> None:
    """Limit the send buffer in the kernel and the time without acknowledgments."""
    if client := limit_unacknowledged(transport):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
