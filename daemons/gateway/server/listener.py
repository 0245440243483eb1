"""The listening socket: how it is had, and how it is given up without refusing anybody who has come."""

import socket
import sys

from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, Unavailable

LISTEN_BACKLOG = 2048
MIN_HOPS_OPTIONS = (
    {socket.AF_INET: (socket.IPPROTO_IP, 21), socket.AF_INET6: (socket.IPPROTO_IPV6, 73)}
    if sys.platform == "linux"
    else {}
)
"""The options IP_MINTTL and IPV6_MINHOPCOUNT, for which the socket module has no names: what arrives with fewer
hops left is dropped unseen (RFC 5082; Linux's ip(7), ipv6(7))."""
MAX_HOPS = 255
"""Hops that nobody who comes the usual way has left: systems begin with 64 or 128. From one that begins with 255
and is the next host, newcomers are not ignored."""


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
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG, reuse_port=True)
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


def ignore_new_connections(listener: socket.socket) -> bool:
    """Let the kernel ignore new connections, while those under way are still made and can be accepted.

    Closing a listening socket resets whoever waits in its queue, even though another process listens on the same
    port. A client that is ignored for a moment asks again a second later, and then the kernel has only the other
    process to give it to. It needs no privilege, unlike a packet filter. Where the system has no such option,
    nothing happens and it says False.

    Args:
        listener: a socket of this process alone: it holds for everyone who shares it.
    """
    return _set_min_hops(listener, MAX_HOPS)


def reset_min_hops(connection: socket.socket) -> None:
    """Let in what a connection sends, although it may have inherited a listener's way with newcomers.

    That listener may be another process's: Linux's `net.ipv4.tcp_migrate_req`.
    """
    _set_min_hops(connection, 0)


def _set_min_hops(sock: socket.socket, hops: int) -> bool:
    option = MIN_HOPS_OPTIONS.get(sock.family)
    if option is None:
        return False
    try:
        sock.setsockopt(*option, hops)
    except OSError:
        return False
    return True
