"""The sd_notify(3) protocol, both ends: the daemon, and the process that started it (systemd or msgctl)."""

import asyncio
import os
import socket
from contextlib import suppress

NOTIFY_SEND_TIMEOUT_S = 1.0
"""Seconds that a datagram may wait for room. A parent that stopped listening must not block the daemon."""


def send(*lines: str, timeout_s: float = NOTIFY_SEND_TIMEOUT_S) -> None:
    """Send one datagram to $NOTIFY_SOCKET. Without that variable or a listener, do nothing.

    Args:
        lines: assignments such as `READY=1`, each without a line break.
        timeout_s: seconds to wait for room in the listener's queue; 0 inside a serving event loop.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, suppress(OSError):
        datagram.settimeout(timeout_s)
        datagram.sendto("\n".join(lines).encode(), "\0" + address[1:] if address.startswith("@") else address)


def watchdog_seconds() -> float:
    """Return the seconds within which systemd expects WATCHDOG=1 from this process; 0 if it expects none."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(microseconds) / 1_000_000


def inherited_socket_fd() -> int | None:
    """Return the file descriptor of the one socket that systemd opened for this process (LISTEN_FDS), or None."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return 3


class NotifySocket:
    """The socket whose address one child gets in NOTIFY_SOCKET.

    Its address is an abstract name of Linux, so there is no file to clean up, even after a crash.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("")
        self.address = "@" + self._socket.getsockname()[1:].decode()

    async def wait_ready(self) -> None:
        """Return when the child has sent READY=1."""
        while "READY=1" not in await self.receive():
            pass

    async def receive(self) -> list[str]:
        """Receive the next datagram and return its lines."""
        loop = asyncio.get_running_loop()
        return (await loop.sock_recv(self._socket, 4096)).decode("utf-8", "replace").splitlines()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
