"""The guard of callbacks against server-side request forgery: public https addresses and allowed hosts only.

A name is resolved once per connection, and all its addresses must be public. The connection goes to one of exactly
these addresses, with the name in SNI and `Host`. Redirects are never followed.
"""

import ipaddress
import socket
from collections.abc import Collection

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from msgctl.domain.errors import BadAddress

PORTS = frozenset({443, 8443})
"""The ports of callbacks that are not on the operator's list."""
LONGEST_URL = 2048
"""The most characters of the URL of a callback."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
DENIED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, 192.0.0.192 is metadata at Oracle
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to one host on the public internet.

    `ipaddress.is_global` alone also lets through multicast, 6to4, NAT64 and cloud metadata.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_public(str(parsed.ipv4_mapped))
        if parsed not in GLOBAL_UNICAST:
            return False
    return parsed.is_global and not parsed.is_multicast and not any(parsed in network for network in DENIED)


def check_url(text: object, allowed_hosts: Collection[str]) -> tuple[URL, bool]:
    """Parse the URL of a callback, and return it and whether its host is on the operator's list.

    Raises:
        BadAddress: the URL is missing, invalid, or must not be called.
    """
    if not isinstance(text, str) or not text or len(text) > LONGEST_URL:
        raise BadAddress("channelMetadata.callbackUrl is missing or too long; give an https URL.")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise BadAddress("channelMetadata.callbackUrl holds characters that a URL does not have.")
    try:
        url = URL(text, encoded=True)  # the path and the query belong to the receiver, so they are sent as given
        host, port = (url.host or "").lower(), url.port
    except ValueError:
        raise BadAddress("channelMetadata.callbackUrl is no URL.") from None
    if not host or url.scheme not in ("http", "https"):
        raise BadAddress("channelMetadata.callbackUrl is no https URL.")
    if url.user is not None or url.password is not None:
        raise BadAddress("channelMetadata.callbackUrl may not hold a user or a password.")
    names = {name.lower() for name in allowed_hosts}
    bracketed = f"[{host}]" if ":" in host else host
    if host in names or bracketed in names or f"{bracketed}:{port}" in names:
        return url, True
    _check_public(url, host)
    return url, False


def guarded_connector() -> aiohttp.TCPConnector:
    """Return a connector that connects to public addresses only and makes a new connection for each request."""
    return aiohttp.TCPConnector(
        resolver=PublicResolver(aiohttp.ThreadedResolver()),
        socket_factory=_public_socket,
        use_dns_cache=False,
        force_close=True,
        limit=0,
    )


class PublicResolver(AbstractResolver):
    """Resolves a name, and refuses it if any of its addresses is not public.

    Args:
        inner: does the resolving.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            BadAddress: one of them is not public.
            OSError: the host has no address.
        """
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise _not_public()
        return found

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def _check_public(url: URL, host: str) -> None:
    if url.scheme != "https":
        raise BadAddress("channelMetadata.callbackUrl must be https, or its host in [callback] allowed_hosts.")
    if url.port not in PORTS:
        raise BadAddress("channelMetadata.callbackUrl must use port 443 or 8443.")
    if (":" in host or host.replace(".", "").isdigit()) and not is_public(host):
        raise _not_public()


def _not_public() -> BadAddress:
    return BadAddress("channelMetadata.callbackUrl does not lead to the public internet.")


def _public_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Check the address once more, immediately before the connection is made."""
    family, kind, protocol, _, target = address
    if not is_public(str(target[0])):
        raise PermissionError("not a public address")
    return socket.socket(family, kind, protocol)
