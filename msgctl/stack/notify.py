"""The sd_notify(3) protocol, both ends: how a child says that it is ready, as it would to systemd."""

import asyncio
import os
import socket
from contextlib import suppress


class Readiness:
    """The socket one child is given in NOTIFY_SOCKET.

    Its address is one of Linux's abstract names: there is no file to clean up, whatever ends us.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("")
        self.address = "@" + self._socket.getsockname()[1:].decode()

    async def wait(self) -> None:
        """Return once the child has said READY=1."""
        loop = asyncio.get_running_loop()
        while b"READY=1" not in (await loop.sock_recv(self._socket, 4096)).splitlines():
            pass

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def send(text: str) -> None:
    """Send one datagram to $NOTIFY_SOCKET; without that variable, or a listener there, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, suppress(OSError):
        datagram.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
