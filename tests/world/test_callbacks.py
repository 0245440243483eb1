"""Callbacks: a receiver's URL reaches its server byte for byte, and a secret of a wrong form is named at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from msgctl.channels.callback.sender import CallbackSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import BadAddress, ConfigurationError
from msgctl.domain.messages import Channel
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import check_url
from tests.support.replies import response
from tests.support.secret_scan import CALLBACK_SECRET

KEY = base64.b64encode(b"n" * 32).decode()


@asynccontextmanager
async def raw_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers 200; its port, and the heads of the requests as they came."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heads


TARGETS = [
    ("an escaped colon, and escapes in the query", "/in/a%3Ab?sig=rX%2Fab%3D&to=%28x%29"),
    ("an escaped tilde and slash", "/in/%7Euser/a%2Fb"),
    ("lower-case escapes", "/in?z=%c3%a1"),
    ("an escaped apostrophe", "/in?c=%27"),
    ("a bare apostrophe and parenthesis", "/in?c='(x)"),
    ("two slashes and dots", "/in//x/../y/./z"),
    ("an escape that is none", "/in/%zz?p=100%"),
    ("a plus, a space, and a comma", "/in/a%20b?x=a+b&y=a%2Bb&z=a,b"),
    ("the order and repetition of names", "/in?b=1&a=2&b=3&a="),
    ("a name without a value", "/in?flag&x=1"),
    ("an empty value and an empty pair", "/in?x=&&y"),
    ("braces and a pipe", "/in/{id}?x={a}|b^c"),
    ("semicolons and a colon", "/in;v=1/a:b@c?x=1;y=2"),
    ("a question mark in the query", "/in?x=a?b/c"),
    ("an escaped percent sign", "/in/%2525?x=%25"),
]


@pytest.mark.parametrize("target", [row[1] for row in TARGETS], ids=[row[0] for row in TARGETS])
async def test_callback_url_is_carried_byte_for_byte(settings: Settings, target: str) -> None:
    """The request line holds the path and the query as the client gave them, so that its signature holds."""
    async with raw_server() as (port, heads), HttpClient(settings) as client:
        callback = settings.callback.model_copy(update={"allowed_hosts": [f"127.0.0.1:{port}"]})
        sender = CallbackSender(settings.model_copy(update={"callback": callback}), client, client)
        url = f"http://127.0.0.1:{port}{target}#not-sent"
        await sender.send(response(Channel.API, {"callbackUrl": url}), TextPart(""), first=True)
    [head] = heads
    assert head.split(b"\r\n")[0] == f"POST {target} HTTP/1.1".encode()
    assert f"\r\nHost: 127.0.0.1:{port}\r\n".encode() in head


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://Example.COM/x", "example.com", 443),
        ("https://example.com:443/x", "example.com", 443),
        ("https://example.com:8443?x=1", "example.com", 8443),
        ("https://[2606:4700::1]/x", "2606:4700::1", 443),
    ],
)
def test_public_host_is_checked_in_any_spelling(url: str, host: str, port: int) -> None:
    """What is checked is what is called."""
    checked, is_listed = check_url(url, ())
    assert ((checked.host or "").lower(), checked.port, is_listed) == (host, port, False)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com:9000/x",
        "https://LOCALHOST.:x/",
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://u:p@example.com/x",
        "https://example.com\\@evil.example/x",
        "https:///x",
        "//example.com/x",
        "HTTPS://127.1/x",
    ],
)
def test_url_that_must_not_be_called_is_refused(url: str) -> None:
    """The URL is carried as it is, and the guard sees through its spelling."""
    with pytest.raises(BadAddress):
        check_url(url, ())


SECRETS = [
    ("the form of Supabase", f"v1,whsec_{KEY}", "delete `v1,`"),
    ("without padding", f"whsec_{KEY.rstrip('=')}", "lacks ="),
    ("the URL-safe alphabet", f"whsec_{'-_' * 16}", "URL-safe"),
    ("20 bytes", f"whsec_{base64.b64encode(b'n' * 20).decode()}", "24 to 64 bytes"),
    ("65 bytes", f"whsec_{base64.b64encode(b'n' * 65).decode()}", "24 to 64 bytes"),
    ("no prefix", KEY, "does not begin with whsec_"),
    ("hexadecimal", "6e" * 32, "does not begin with whsec_"),
    ("a comma instead of a space", f"whsec_{KEY},whsec_{KEY}", "put a space"),
    ("a good one and a bad one", f"whsec_{KEY} whsec_x", "24 to 64 bytes"),
]


@pytest.mark.parametrize(("secret", "hint"), [row[1:] for row in SECRETS], ids=[row[0] for row in SECRETS])
def test_secret_of_a_wrong_form_is_named_at_the_start(secret: str, hint: str) -> None:
    """`config check` and each daemon refuse it, name the setting, and do not show it."""
    with pytest.raises(ConfigurationError) as refused:
        load(environ={"MSGCTL_CALLBACK_SECRET": secret})
    assert "callback.secret" in refused.value.message
    assert hint in refused.value.message
    assert not any(part in refused.value.message for part in (KEY, KEY.rstrip("="), secret))


@pytest.mark.parametrize("secret", [CALLBACK_SECRET, f"{CALLBACK_SECRET} whsec_{KEY}", f" {CALLBACK_SECRET} "])
def test_secret_of_the_right_form_is_taken(secret: str) -> None:
    """One secret, or two during a rotation."""
    assert load(environ={"MSGCTL_CALLBACK_SECRET": secret}).settings.callback.secret.get_secret_value() == secret
