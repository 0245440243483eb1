"""The dashboard in a browser: access checks, and a real Chromium."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from msgctl.config.settings import Settings
from msgctl.tui.web.endpoint import WebEndpoint, is_loopback
from tests.support.browser import CHROMIUM, browsing
from tests.support.command_line import started
from tests.support.messages import Traffic, traffic
from tools.support.daemons import PATIENCE, until

__all__ = ["traffic"]

DARK = 60
"""Of 255: darker than any text of the dashboard."""


@pytest.fixture
async def login_url(settings: Settings, tmp_path: Path) -> AsyncIterator[str]:
    """Return the URL that `msgctl dash --web --auth` prints, of a dashboard that changes only by keys."""
    arguments = ("dash", "--web", "--port", "0", "--auth", "--interval", "3600")
    async with started(settings, *arguments, folder=tmp_path) as process:
        assert process.stderr
        told = (await asyncio.wait_for(process.stderr.readline(), PATIENCE)).decode()
        found = re.search(r"http://\S+", told)
        assert found, told
        yield found[0]


async def test_web_requires_token(login_url: str) -> None:
    """Without it, neither the page nor the socket is served."""
    url = login_url.partition("?")[0]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        for path in ("", "ws", "static/js/textual.js", "?token=wrong"):
            assert await _status(browser, url + path) == 401
        assert await _status(browser, login_url) == 200


async def test_web_refuses_other_sites(login_url: str) -> None:
    """A foreign Origin and a foreign Host are refused, although the browser has the cookie."""
    url = login_url.partition("?")[0]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        assert await _status(browser, login_url) == 200
        assert await _status(browser, f"{url}ws", {"Origin": "https://evil.example"}) == 403
        assert await _status(browser, url, {"Host": "evil.example"}) == 403


async def test_web_page_loads_nothing_from_other_hosts(login_url: str) -> None:
    """Neither the page nor its policy names another host."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        browser.get(login_url) as page,
    ):
        assert "://" not in await page.text()
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_is_loopback_accepts_only_this_machine() -> None:
    """Other addresses need a token."""
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert WebEndpoint("0.0.0.0", 1, "t").is_own_host("dash.example")
    assert not WebEndpoint("127.0.0.1", 1, "").is_own_host("dash.example")


@pytest.mark.skipif(not CHROMIUM, reason="needs a Chromium in the PATH: apt-get install chromium")
async def test_chromium_draws_dashboard(login_url: str, traffic: Traffic, tmp_path: Path) -> None:
    """It obeys a key, and requests nothing from other hosts."""
    await traffic.waiting("m1")
    async with browsing(tmp_path / "profile") as browser:
        await browser.call("Page.navigate", url=login_url)
        await until(
            lambda: browser.value("document.body?.classList.contains('-first-byte')"), "the dashboard to be drawn"
        )
        await until(lambda: b"NOT HEALTHY" in browser.received, "the first look")
        first = await browser.picture()
        await browser.press("2")
        await until(lambda: b"looked through" in browser.received, "the second tab, without a click before")
        await until(lambda: _differs(browser.picture, first), "its picture")
        (tmp_path / "dash.png").write_bytes(await browser.picture())
        hosts = {urlsplit(url).netloc for url in browser.requests if not url.startswith("data:")}
        assert hosts == {urlsplit(login_url).netloc}
        assert not [line for line in browser.console if "Content Security Policy" in line or "404" in line]


async def _status(browser: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None) -> int:
    async with browser.get(url, headers=headers) as answer:
        return answer.status


async def _differs(picture: Callable[[], Awaitable[bytes]], before: bytes) -> bool:
    now = await picture()
    return bool(now != before and len(now) > len(before) / 2)
