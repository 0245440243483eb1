"""The SSRF guard: hostile URLs reach no server."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from msgctl.channels.callback.sender import CallbackSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryFailed
from msgctl.domain.messages import Channel
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import PublicResolver, check_url, guarded_connector, is_public
from tests.support.replies import response

HOSTILE = [
    "http://{host}:{port}/",
    "https://{host}:{port}/",
    "https://{host}/",
    "https://localhost:{port}/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://127.1:443/",
    "https://127.0.0.1.:443/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/latest/meta-data/",
    "https://192.0.0.192/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://203.0.113.7/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::1]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25lo]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://user:pass@93.184.216.34/",
    "https://93.184.216.34@{host}:{port}/",
    "https://{host}:{port}\\@93.184.216.34/",
    "https://93.184.216.34:{port}/",
    "https://93.184.216.34:22/",
    "http://93.184.216.34/",
    "ftp://{host}:{port}/",
    "file:///etc/passwd",
    "gopher://{host}:{port}/_",
    "//{host}:{port}/",
    "{host}:{port}",
    "https:///{host}:{port}/",
    "https://{host}:{port}#@93.184.216.34/",
    "https://ⅼocalhost/",  # noqa: RUF001 - a numeral that looks like a letter is meant
    "https://①②⑦.⓪.⓪.①/",
    "https://{host}\r\nHost: x/",
    "https://{host} .example/",
    "",
    "https://",
    "https://" + "a" * 3000,
]


class Canary:
    """Listens on a loopback port and counts connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def open(self) -> None:
        """Begin to listen."""
        self.server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port: int = self.server.sockets[0].getsockname()[1]

    async def _meet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


class Rebinding(AbstractResolver):
    """Answers each query with the next set of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the interface has it
    ) -> list[ResolveResult]:
        """The next answer."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """A listener that no request may reach."""
    canary = Canary()
    await canary.open()
    yield canary
    canary.server.close()
    await canary.server.wait_closed()


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_url_reaches_no_server(settings: Settings, canary: Canary, hostile: str) -> None:
    """The callback ends in a typed failure, and the canary on loopback saw no connection."""
    url = hostile.replace("{host}", "127.0.0.1").replace("{port}", str(canary.port))
    async with HttpClient(settings, guarded_connector()) as guarded:
        callback = CallbackSender(settings, guarded, guarded)
        with pytest.raises(DeliveryFailed):
            await callback.send(response(Channel.API, {"callbackUrl": url}), TextPart("x"), first=True)
    assert canary.connections == 0


@pytest.mark.parametrize("value", [None, 7, ["https://example.com"], {"url": "https://example.com"}])
def test_invalid_url_is_rejected(value: object) -> None:
    """Metadata of any other JSON type raises a typed failure."""
    with pytest.raises(BadAddress):
        check_url(value, [])


@pytest.mark.parametrize(
    ("allowed", "trusted"),
    [("inner.example", True), ("inner.example:8080", True), ("INNER.example", True), ("inner.example:81", False)],
)
def test_operator_can_allow_an_internal_host(allowed: str, trusted: bool) -> None:
    """A listed host may be private and use plain http; if a port is listed, only on that port."""
    if trusted:
        assert check_url("http://inner.example:8080/hook", [allowed])[1]
    else:
        with pytest.raises(BadAddress):
            check_url("http://inner.example:8080/hook", [allowed])


def test_a_public_url_passes() -> None:
    """An ordinary https URL is not on the list, and uses the guarded client."""
    url, trusted = check_url("https://hooks.example.com/in?x=1", ["inner.example"])
    assert (str(url), trusted) == ("https://hooks.example.com/in?x=1", False)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111"])
def test_public_address_is_allowed(address: str) -> None:
    """The guard does not reject public addresses."""
    assert is_public(address)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["169.254.169.254"]])
async def test_every_address_of_a_name_must_be_public(addresses: list[str]) -> None:
    """One private address among several public ones is enough to reject the name."""
    with pytest.raises(BadAddress):
        await PublicResolver(Rebinding(addresses)).resolve("rebind.example", 443)


async def test_a_name_that_changes_is_checked_each_time(settings: Settings, canary: Canary) -> None:
    """The name is public at first and loopback the second time: the second attempt is rejected unconnected."""
    resolver = PublicResolver(Rebinding(["127.0.0.1"]))
    connector = TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    async with HttpClient(settings, connector) as guarded:
        with pytest.raises(BadAddress):
            await guarded.post(f"https://rebind.example:{canary.port}/", who="callback", headers={}, body=b"")
    assert canary.connections == 0


async def test_the_connection_goes_to_the_very_address_that_was_checked(
    settings: Settings, canary: Canary
) -> None:
    """Even if an earlier check was fooled, no connection is made to a private address."""
    connector = guarded_connector()
    connector._resolver = Rebinding(["127.0.0.1"])
    async with HttpClient(settings, connector) as guarded:
        with pytest.raises(DeliveryFailed):
            await guarded.post(f"https://fooled.example:{canary.port}/", who="callback", headers={}, body=b"")
    assert canary.connections == 0
