"""The HTTP protocol of uvicorn with timeouts, strict heads, and errors in the format of the API."""

import socket
import sys
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from daemons.gateway.http.schemas import Refusal, make_problem
from daemons.gateway.translations import Texts
from daemons.gateway.ws.protocol import WebSocketProtocol, limit_unacknowledged
from msgctl.config.settings import Settings

MAX_HEAD_BYTES = 65_536
"""The maximum size of the request line and headers in bytes."""
HEADER_OVERHEAD_BYTES = 4
"""The colon, the space, and the line end of a header."""
HTTP_VERSIONS = frozenset({"1.0", "1.1"})
MIN_HOPS_OPTIONS = (
    {socket.AF_INET: (socket.IPPROTO_IP, 21), socket.AF_INET6: (socket.IPPROTO_IPV6, 73)}
    if sys.platform == "linux"
    else {}
)
"""The options IP_MINTTL and IPV6_MINHOPCOUNT, for which the socket module has no names. The kernel drops packets
with fewer hops left (RFC 5082; ip(7) and ipv6(7) of Linux)."""
LAST_REQUEST_TIMEOUT_S = 1.0
"""Seconds a client that has just connected gets to send its request when the gateway stops."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection. `make_http_protocol` creates the subclass with the settings."""

    head_timeout: float
    body_timeout: float
    send_timeout: float
    refusals: dict[HTTPStatus, bytes]

    def connection_made(self, transport: Any) -> None:
        """Start the timeout for the first request."""
        super().connection_made(transport)
        if sock := transport.get_extra_info("socket"):
            reset_min_hops(sock)
        limit_unacknowledged(transport)
        self._client_deadline = self.loop.time() + self.head_timeout
        self._send_deadline = 0.0
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._in_head = False
        self._refused = False
        self._shutdown_pending = False

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. Refuse a request whose head is too large."""
        if self._refused:
            return
        was_in_head, self._head_began = self._in_head, False
        super().data_received(data)
        if not self._in_head or self._refused:
            return
        if was_in_head and not self._head_began:
            self._unparsed_bytes += len(data)  # the parser reports a header when it is complete
        if max(self._head_bytes, self._unparsed_bytes) > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the timeout for the head of a request."""
        super().on_message_begin()
        self._client_deadline = self.loop.time() + self.head_timeout
        self._head_bytes = self._unparsed_bytes = 0
        self._in_head = self._head_began = True

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the request line."""
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the bytes of a header."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + HEADER_OVERHEAD_BYTES

    def on_headers_complete(self) -> None:
        """Refuse a bad head, or start the timeout for the body of a request."""
        self._in_head = False
        if self._refused:
            return
        if status := self._head_fault():
            self._refuse(status)
            return
        self._client_deadline = self.loop.time() + self.body_timeout
        super().on_headers_complete()
        if self._shutdown_pending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, unless the request was refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timeout: the request is complete, and the client waits for the gateway."""
        if self._refused:
            return
        self._client_deadline = 0.0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read its response."""
        super().pause_writing()
        self._send_deadline = self.loop.time() + self.send_timeout

    def resume_writing(self) -> None:
        """Stop that timeout."""
        super().resume_writing()
        self._send_deadline = 0.0

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over. Delete the parser, whose reference cycle would keep this object in memory."""
        if self._refused:
            return
        super().handle_websocket_upgrade()
        del self.parser
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketProtocol) and (status := protocol.handshake_error):
            self.transport.write(self.refusals[status])
            self.transport.close()

    def close_if_late(self) -> None:
        """Close the connection if the timeout of its request or of its response is over."""
        now = self.loop.time()
        if self._send_deadline and now >= self._send_deadline:
            self.transport.abort()
            return
        if not self._client_deadline or now < self._client_deadline or self.transport.is_closing():
            return
        if self._in_head or (self.cycle is not None and not self.cycle.response_started):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse bytes that are not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST)

    def shutdown(self) -> None:
        """Close the connection, but let a client that has just connected send its request."""
        if self._client_deadline and not self._shutdown_pending and (self._in_head or self.cycle is None):
            self._shutdown_pending = True
            self.loop.call_later(LAST_REQUEST_TIMEOUT_S, super().shutdown)
        else:
            super().shutdown()

    def _head_fault(self) -> HTTPStatus | None:
        """Return the status for a head that HTTP/1.1 forbids or that is too large."""
        if self._head_bytes > MAX_HEAD_BYTES:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        version = self.parser.get_http_version()
        if version not in HTTP_VERSIONS:
            return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and version == "1.1"):  # RFC 9112, section 3.2
            return HTTPStatus.BAD_REQUEST
        return None

    def _refuse(self, status: HTTPStatus) -> None:
        if self._refused:
            return
        self._refused = True
        self._client_deadline = 0.0
        self._in_head = False
        self.transport.write(self.refusals[status])
        self.transport.close()


def make_http_protocol(settings: Settings, texts: Texts) -> type[HttpProtocol]:
    """Create the protocol class of a gateway.

    Args:
        settings: `limits.head_timeout`, `limits.body_timeout`, `gateway.send_timeout`.
        texts: the texts of its errors.
    """
    body = msgspec.json.encode(Refusal(error=make_problem("bad_request", texts.errors["bad_request"])))
    members = {
        "head_timeout": settings.limits.head_timeout,
        "body_timeout": settings.limits.body_timeout,
        "send_timeout": settings.gateway.send_timeout,
        "refusals": {status: _encode_refusal(status, body) for status in REFUSAL_STATUSES},
    }
    return type("ConfiguredHttpProtocol", (HttpProtocol,), members)


REFUSAL_STATUSES = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
)


def _encode_refusal(status: HTTPStatus, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def reset_min_hops(connection: socket.socket) -> None:
    """Accept all packets of a connection, which may have inherited the minimum hop count of its listener.

    That listener may belong to another process: see `net.ipv4.tcp_migrate_req` of Linux.
    """
    set_min_hops(connection, 0)


def set_min_hops(sock: socket.socket, hops: int) -> bool:
    """Set the minimum hop count of a socket. Return whether the system supports it."""
    option = MIN_HOPS_OPTIONS.get(sock.family)
    if option is None:
        return False
    try:
        sock.setsockopt(*option, hops)
    except OSError:
        return False
    return True
