"""The listening socket: how it is had, and how it is given up without refusing anybody who has come."""

import ctypes
import socket
import struct

from msgctl.config import Settings
from msgctl.errors import ConfigurationError, Unavailable

BACKLOG = 2048
SO_ATTACH_FILTER = 26  # Linux; the socket module has no name for it
NO_MORE_SYNS = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the flags of the TCP header
        (0x54, 0, 0, 0x12),  # of them SYN and ACK
        (0x15, 0, 1, 0x02),  # if it is SYN alone
        (0x06, 0, 0, 0),  # drop the packet
        (0x06, 0, 0, 0xFFFF),  # else let it pass
    )
)
"""A program of the kernel's packet filter (classic BPF)."""


def listen(settings: Settings, fd: int | None = None) -> socket.socket:
    """The socket to accept on.

    Args:
        settings: `gateway.host` and `gateway.port`; the port may be shared (SO_REUSEPORT), so that the next
            gateway listens before this one goes.
        fd: an inherited listening socket, instead of those.

    Raises:
        Unavailable: the address is taken.
        ConfigurationError: it is none of this machine's, or `fd` is no socket.
    """
    if fd is not None:
        try:
            return socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigurationError(f"File descriptor {fd} is no socket: {error.strerror}.") from None
    host, port = settings.gateway.host, settings.gateway.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)
    except socket.gaierror as error:
        raise ConfigurationError(f"[gateway] host {host} is no address: {error.strerror}.") from None
    except OSError as error:
        raise Unavailable(
            f"Cannot listen at {host}:{port}: {error.strerror}. Is it taken? Set [gateway] host and port."
        ) from None


def address(listener: socket.socket) -> str:
    """Where clients find a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def let_nobody_new_in(listener: socket.socket) -> bool:
    """Let the kernel ignore new connections, while those under way are still made and can be accepted.

    Closing a listening socket resets whoever waits in its queue, even though another process listens on the same
    port. A client that is ignored for a moment asks again a second later, and then the kernel has only the other
    process to give it to. Where the system has no such filter, or not for us, nothing happens and it says False.

    Args:
        listener: a socket of this process alone: the filter holds for everyone who shares it.
    """
    program = ctypes.create_string_buffer(NO_MORE_SYNS, len(NO_MORE_SYNS))
    try:
        listener.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("@HP", len(NO_MORE_SYNS) // 8, ctypes.addressof(program)),
        )
    except OSError:
        return False
    return True
