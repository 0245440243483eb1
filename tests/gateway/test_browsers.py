"""Which web pages may use a gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from daemons.gateway.app import serve
from msgctl.config.settings import Settings
from tests.support.gateway_clients import Client, running

PAGE = "https://chat.example.com"
FOREIGN = [
    "https://evil.example.com",
    "http://chat.example.com",
    "https://chat.example.com:8443",
    "https://chat.example.com.evil.example",
    "https://evil.example/https://chat.example.com",
    "null",
    "",
]


@asynccontextmanager
async def client_of(settings: Settings, *origins: str) -> AsyncIterator[Client]:
    """A client of a gateway with these `origins`."""
    gateway = settings.gateway.model_copy(update={"origins": list(origins)})
    async with (
        running(serve, settings.model_copy(update={"gateway": gateway})) as life,
        aiohttp.ClientSession() as http,
    ):
        yield Client(life.status.result().removeprefix("listening at "), settings, "ana", http)


async def code_of(client: Client, origin: str | None) -> int:
    """0 for a page whose socket is let in, else the close code."""
    async with client.socket(origin=None if origin is None else Origin(origin)) as chat:
        try:
            await chat.hear("connected")
        except ConnectionClosed:
            return (await chat.closed())[0]
        return 0


async def test_only_listed_pages_open_a_socket(settings: Settings) -> None:
    """The list is exact: scheme, host and port; whoever names no page, and the gateway's own, are let in."""
    async with client_of(settings, PAGE) as client:
        for origin in (PAGE, client.url, None):
            assert await code_of(client, origin) == 0
        for origin in FOREIGN:
            assert await code_of(client, origin) == 4403, origin


async def test_only_the_own_page_is_allowed_without_a_list(settings: Settings) -> None:
    """The default is the safe one; behind a proxy with TLS the scheme may differ."""
    async with client_of(settings) as client:
        assert await code_of(client, PAGE) == 4403
        assert await code_of(client, client.url.replace("http:", "https:")) == 0


async def test_star_allows_all_pages(settings: Settings) -> None:
    """`*` is any page, for sockets and for requests."""
    async with client_of(settings, "*") as client:
        assert await code_of(client, FOREIGN[0]) == 0
        answer = await client.request("GET", "/api/messages/queue/stats", headers={"Origin": FOREIGN[0]})
        assert answer.headers["access-control-allow-origin"] == FOREIGN[0]


async def test_listed_page_may_read_responses_and_errors(settings: Settings) -> None:
    """CORS headers come with success and with errors, name that page alone, and tell caches of it."""
    async with client_of(settings, PAGE) as client:
        for headers in ({"Origin": PAGE}, {"Origin": PAGE, "Authorization": ""}):
            answer = await client.request("GET", "/api/messages/queue/stats", headers=headers)
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert answer.headers["vary"] == "origin"
            assert "retry-after" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        for origin in FOREIGN:
            answer = await client.request("GET", "/api/messages/queue/stats", headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers


async def test_preflight_of_a_listed_page_is_answered(settings: Settings) -> None:
    """A browser's preflight is answered without a token; a foreign page's is not."""
    ask = {"Access-Control-Request-Method": "POST", "Authorization": ""}
    async with client_of(settings, PAGE) as client:
        answer = await client.request("OPTIONS", "/api/messages", headers={**ask, "Origin": PAGE})
        assert (answer.status, answer.body) == (204, b"")
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        refused = await client.request("OPTIONS", "/api/messages", headers={**ask, "Origin": FOREIGN[0]})
        assert refused.status == 405
        assert "access-control-allow-methods" not in refused.headers


@pytest.mark.parametrize(
    "origin", ["chat.example.com", "https://chat.example.com/", "ftp://x", "https://*.example.com/x"]
)
def test_invalid_origin_is_refused_in_the_settings(origin: str) -> None:
    """A page's address with a path, or without a scheme, would match nothing: it is refused at the start."""
    with pytest.raises(ValueError, match="origins"):
        Settings.model_validate({"gateway": {"origins": [origin]}})
