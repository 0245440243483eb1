"""uvicorn's HTTP with what it lacks: patience that ends, a bound on the head, refusals in the API's shape."""

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
"""Bytes a request's line and headers may have."""
MIN_HOPS_OPTIONS = (
    {socket.AF_INET: (socket.IPPROTO_IP, 21), socket.AF_INET6: (socket.IPPROTO_IPV6, 73)}
    if sys.platform == "linux"
    else {}
)
"""The options IP_MINTTL and IPV6_MINHOPCOUNT, for which the socket module has no names: what arrives with fewer
hops left is dropped unseen (RFC 5082; Linux's ip(7), ipv6(7))."""
LAST_REQUEST_TIMEOUT_S = 1.0
"""Seconds a client that has just connected gets to send its request when the gateway is about to end."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection. `http_protocol` makes the class that is used, with the settings in it."""

    head_timeout: float
    body_timeout: float
    refusals: dict[HTTPStatus, bytes]

    def connection_made(self, transport: Any) -> None:
        """A client is there and should say something."""
        super().connection_made(transport)
        if sock := transport.get_extra_info("socket"):
            reset_min_hops(sock)
        self._client_deadline = self.loop.time() + self.head_timeout
        self._head_bytes = 0
        self._in_head = False
        self._shutdown_pending = False

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head of a request does not end."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._client_deadline = self.loop.time() + self.head_timeout
        self._head_bytes, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        self._client_deadline = self.loop.time() + self.body_timeout
        super().on_headers_complete()
        if self._shutdown_pending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """All of it is there: from now on it is we who are waited for."""
        self._client_deadline = 0.0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, and be gone at once: with its parser, this is a cycle that would linger."""
        super().handle_websocket_upgrade()
        del self.parser

    def close_if_late(self) -> None:
        """End the connection if its client takes too long over what it has begun."""
        if not self._client_deadline or self.loop.time() < self._client_deadline or self.transport.is_closing():
            return
        if self._in_head or (self.cycle is not None and not self.cycle.response_started):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST)

    def shutdown(self) -> None:
        """End with the server, but let a client say what it has come for."""
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
    """The protocol of a gateway.

    Args:
        settings: `limits.head_timeout`, `limits.body_timeout`.
        texts: the language of its refusals.
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
    """Let in what a connection sends, although it may have inherited a listener's way with newcomers.

    That listener may be another process's: Linux's `net.ipv4.tcp_migrate_req`.
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
