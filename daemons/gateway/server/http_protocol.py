"""The HTTP protocol of uvicorn with timeouts, a limit on the request head, and errors in the format of the API."""

import socket
import sys
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from daemons.gateway.http.schemas import Refusal, make_problem
from daemons.gateway.translations import Texts
from msgctl.config.settings import Settings

MAX_HEAD_BYTES = 65_536
"""The maximum size of the request line and headers in bytes."""
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
    refusals: dict[HTTPStatus, bytes]

    def connection_made(self, transport: Any) -> None:
        """Start the timeout for the first request."""
        super().connection_made(transport)
        if sock := transport.get_extra_info("socket"):
            reset_min_hops(sock)
        self._client_deadline = self.loop.time() + self.head_timeout
        self._head_bytes = 0
        self._in_head = False
        self._shutdown_pending = False

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. Refuse a request whose head is too large."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the timeout for the head of a request."""
        super().on_message_begin()
        self._client_deadline = self.loop.time() + self.head_timeout
        self._head_bytes, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        """Start the timeout for the body of a request."""
        self._in_head = False
        self._client_deadline = self.loop.time() + self.body_timeout
        super().on_headers_complete()
        if self._shutdown_pending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Stop the timeout: the request is complete, and the client waits for the gateway."""
        self._client_deadline = 0.0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over. Delete the parser, whose reference cycle would keep this object in memory."""
        super().handle_websocket_upgrade()
        del self.parser

    def close_if_late(self) -> None:
        """Close the connection if the timeout of its request is over."""
        if not self._client_deadline or self.loop.time() < self._client_deadline or self.transport.is_closing():
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

    def _refuse(self, status: HTTPStatus) -> None:
        self._client_deadline = 0.0
        self._in_head = False
        self.transport.write(self.refusals[status])
        self.transport.close()


def make_http_protocol(settings: Settings, texts: Texts) -> type[HttpProtocol]:
    """Create the protocol class of a gateway.

    Args:
        settings: `limits.head_timeout`, `limits.body_timeout`.
        texts: the texts of its errors.
    """
    body = msgspec.json.encode(Refusal(error=make_problem("bad_request", texts.errors["bad_request"])))
    members = {
        "head_timeout": settings.limits.head_timeout,
        "body_timeout": settings.limits.body_timeout,
        "refusals": {status: _encode_refusal(status, body) for status in REFUSAL_STATUSES},
    }
    return type("ConfiguredHttpProtocol", (HttpProtocol,), members)


REFUSAL_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


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
