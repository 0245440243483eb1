"""What browsers, web views, and identity providers send: origins, subprotocols, media types, and token types."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from daemons.gateway.app import serve
from daemons.gateway.auth.authenticator import choose_subprotocol
from daemons.gateway.http.middleware import CorsPolicy
from msgctl.agents.agents import Agent
from msgctl.auth.tokens import Verifier
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import ConfigurationError, Unauthorized
from tests.support.gateway_clients import Client, running

WEB_VIEWS = [
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "app://.",
    "file://",
    "null",
    "chrome-extension://abcdefghijklmnop",
    "vscode-webview://1a2b",
    "https://localhost",
    "http://localhost:8100",
]


def policy(*origins: str) -> CorsPolicy:
    """The policy of a gateway with these origins, read as from the environment."""
    return CorsPolicy(load(environ={"MSGCTL_GATEWAY_ORIGINS": ",".join(origins)}).settings)


def from_page(origin: str, host: str = "chat.example.com") -> dict[str, Any]:
    """The scope of a request from a page."""
    return {"headers": [(b"host", host.encode()), (b"origin", origin.encode())]}


@pytest.mark.parametrize("origin", WEB_VIEWS)
def test_origin_of_a_web_view_is_allowed_only_where_listed(origin: str) -> None:
    """Each can be listed, is then allowed and named in the answer, and is refused by a list without it."""
    assert policy(origin).allows(from_page(origin))
    assert (b"access-control-allow-origin", origin.encode()) in policy(origin).headers(from_page(origin))
    others = [other for other in WEB_VIEWS if other != origin]
    assert not policy(*others).allows(from_page(origin))
    assert not policy().allows(from_page(origin))


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        ("https://Chat.Example.com", "https://chat.example.com"),
        ("https://chat.example.com:443", "https://chat.example.com"),
        ("http://chat.example.com:80", "http://chat.example.com"),
        ("https://chat.example.com:8443", "https://chat.example.com:8443"),
        ("Capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_listed_origin_matches_as_browsers_spell_it(listed: str, sent: str) -> None:
    """Browsers send lower case and leave out the default port."""
    assert policy(listed).allows(from_page(sent, host="gateway.example.com"))


@pytest.mark.parametrize(
    "origin", ["file:///x", "data://x", "https://a.example/x", "*://x", "ftp://x", "localhost", "https://u@h"]
)
def test_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    """The configuration names the setting."""
    with pytest.raises(ConfigurationError, match=r"gateway\.origins"):
        load(environ={"MSGCTL_GATEWAY_ORIGINS": origin})


@pytest.mark.parametrize("origin", ["capacitor://localhost:3000", "null", "file://", "app://localhost:3000"])
def test_page_of_an_app_is_not_the_page_of_a_gateway(origin: str) -> None:
    """Only http and https pages of the gateway's own host are its own."""
    assert not policy().allows(from_page(origin, host="localhost:3000"))
    assert policy().allows(from_page("http://localhost:3000", host="localhost:3000"))
    assert not policy().allows(from_page("null", host=""))


@asynccontextmanager
async def gateway(settings: Settings, **changes: object) -> AsyncIterator[Client]:
    """A client of a gateway with changed settings."""
    changed = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changes)})
    async with running(serve, changed) as life, aiohttp.ClientSession() as http:
        yield Client(life.status.result().removeprefix("listening at "), changed, "ana", http)


async def test_socket_of_a_web_view(settings: Settings) -> None:
    """A listed app connects, another one is closed with 4403."""
    async with gateway(settings, origins=["capacitor://localhost"]) as client:
        async with client.socket(origin=Origin("capacitor://localhost")) as chat:
            await chat.hear("connected")
        async with client.socket(origin=Origin("ionic://localhost")) as chat:
            with pytest.raises(ConnectionClosed):
                await chat.hear("connected")
            assert (await chat.closed())[0] == 4403


async def test_token_alone_among_the_subprotocols(settings: Settings) -> None:
    """The socket opens for a browser, which requires that one of its subprotocols is accepted."""
    async with gateway(settings) as client:
        offered = Subprotocol(f"bearer.{client.token}")
        async with client.socket("", subprotocols=[offered]) as chat:
            await chat.hear("connected")
            assert chat.socket.subprotocol == offered
        async with client.socket("", subprotocols=[Subprotocol("bearer.x.y.z")]) as chat:
            assert (await chat.closed())[0] == 4401


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["msgctl.v1"], "msgctl.v1"),
        (["bearer.a", "msgctl.v1"], "msgctl.v1"),
        (["bearer.a"], "bearer.a"),
        (["bearer.a", "bearer.b"], None),
        (["bearer.a", "graphql-ws"], None),
        (["graphql-ws"], None),
    ],
)
def test_accepted_subprotocol_is_an_offered_one(offered: list[str], chosen: str | None) -> None:
    """RFC 6455 §4.1: the server accepts one of the offered names or none."""
    assert choose_subprotocol(offered) == chosen


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("Application/JSON;Charset=UTF-8", 202),
        ('application/json ; charset="utf-8"; profile=x', 202),
        ("text/plain", 415),
        ("application/json-patch+json", 415),
        ("", 415),
    ],
)
async def test_media_type_with_parameters(settings: Settings, agent: Agent, media_type: str, status: int) -> None:
    """Parameters and case of a media type do not count (RFC 9110 §8.3.1)."""
    async with gateway(settings) as client:
        headers = {"Authorization": f"Bearer {client.token}", "Content-Type": media_type}
        body = f'{{"agentId": "{agent.id}", "message": "oi"}}'.encode()
        assert (await client.request("POST", "/api/messages", data=body, headers=headers)).status == status


TYPES = [
    (None, True),
    ("JWT", True),
    ("jwt", True),
    ("at+jwt", True),
    ("AT+JWT", True),
    ("application/at+jwt", True),
    ("application/jwt", True),
    ("Application/AT+JWT", True),
    ("id+jwt", False),
    ("application/id+jwt", False),
    ("dpop+jwt", False),
    ("application/dpop+jwt", False),
    ("logout+jwt", False),
    ("secevent+jwt", False),
    ("text/jwt", False),
    ("application/application/jwt", False),
    (5, False),
    (["JWT"], False),
]


@pytest.mark.parametrize(("typ", "is_accepted"), TYPES)
def test_type_of_a_token(settings: Settings, typ: object, *, is_accepted: bool) -> None:
    """A token for an API is accepted under each spelling of its media type; one for another purpose is not."""
    now = int(time.time())
    claims = {"sub": "ana", "iat": now, "exp": now + 60}
    secret = settings.auth.jwt_secret.get_secret_value()
    token = jwt.encode(claims, secret, algorithm="HS256", headers={"typ": typ})  # without one if it is None
    if is_accepted:
        assert Verifier(settings).verify(token).user_id == "ana"
    else:
        with pytest.raises(Unauthorized):
            Verifier(settings).verify(token)
