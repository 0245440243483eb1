"""A real headless Chromium, spoken to by its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from tools.support.daemons import PATIENCE, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

BINARY = 2
"""The opcode of such a frame, RFC 6455 section 5.2."""


class Browser:
    """One page of a browser.

    Args:
        socket: of the page's DevTools.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.requests: list[str] = []
        """The address of everything that was asked for."""
        self.received = b""
        """What came over the page's WebSockets."""
        self.console: list[str] = []
        """What the page complained of."""

    async def listen(self) -> None:
        """Take what the browser says, for ever."""
        async for message in self._socket:
            said = json.loads(message)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Network.webSocketCreated":
                self.requests.append(said["params"]["url"])
            elif said["method"] == "Network.webSocketFrameReceived":
                frame = said["params"]["response"]
                self.received += base64.b64decode(frame["payloadData"]) if frame["opcode"] == BINARY else b""
            elif said["method"] == "Log.entryAdded":
                self.console.append(said["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return (await asyncio.wait_for(self._answers[number], PATIENCE)).get("result")

    async def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = await self.call("Runtime.evaluate", expression=expression)
        return found["result"].get("value")

    async def press(self, key: str) -> None:
        """Press a key that types a character."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """A browser with an empty page, gone at the end."""
    assert CHROMIUM
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder}", "--window-size=1200,700", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told = folder / "DevToolsActivePort"
    try:
        await until(lambda: told.exists() and len(told.read_text().splitlines()) == 2, "Chromium to start")
        port = told.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        # Not aiohttp's WebSocket: where its server goes away without a word, it never gives its connection back.
        async with connect(address, max_size=None) as socket:
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            for domain in ("Page", "Network", "Log"):
                await browser.call(f"{domain}.enable")
            yield browser
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    finally:
        process.terminate()
        await process.wait()
