"""The web server: textual-serve's bridge between browser and dashboard, behind our own door and page.

textual-serve's own page asks Google for a font, so it is not used. What is served comes from this package and from
textual-serve's, and the browser is told to load nothing else.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from msgctl.errors import ConfigurationError, Unavailable
from msgctl.tui.web.place import COOKIE, Place

try:
    from textual_serve.server import Server
except ImportError:  # it comes with the extra `web`
    Server = None  # type: ignore[assignment,misc]  # asked about before it is used

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(place: Place, command: str, *, told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        place: where, and for whom.
        command: the shell's command for one dashboard.
        told: hears the address to open.

    Raises:
        ConfigurationError: textual-serve is not installed.
        Unavailable: the port is taken.
    """
    if Server is None:
        raise ConfigurationError('A browser needs the extra "web": pip install "msgctl[web]"')
    asyncio.run(_serve(place, command, told))


async def _serve(place: Place, command: str, told: Callable[[str], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        listener = socket.create_server(
            (place.host, place.port), family=socket.AF_INET6 if ":" in place.host else socket.AF_INET
        )
    except OSError as error:
        raise Unavailable(f"{place.url} cannot be listened on: {error.strerror}. Try --port 0.") from error
    place = place._replace(port=listener.getsockname()[1])
    runner = web.AppRunner(make_app(place, command), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, shutdown_timeout=1.0).start()
        told(f"The dashboard is at {place.invitation}")
        await stopping.wait()
    finally:
        await runner.cleanup()


def make_app(place: Place, command: str) -> web.Application:
    """The routes: our page and style, textual-serve's script, fonts and socket."""
    bridge: Any = Server(command, host=place.host, port=place.port, title="msgctl")
    app = web.Application(middlewares=[_door(place)])
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/page.js", _file("page.js")),
            web.get("/page.css", _file("page.css")),
            web.get("/ws", bridge.handle_websocket),
            web.static("/static", bridge.statics_path),
        ]
    )
    return app


def _door(place: Place) -> Any:
    """Let in whom `place` lets in; a page of another site never."""

    @web.middleware
    async def enter(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if not place.is_own_host(request.host) or (origin and urlsplit(origin).netloc != request.host):
            raise web.HTTPForbidden(text="This page may not look at the dashboard.")
        if place.token and "token" in request.query and place.knows(request.query["token"]):
            entered = web.HTTPSeeOther("/")
            entered.set_cookie(COOKIE, place.token, httponly=True, samesite="Strict", path="/")
            raise entered
        if place.token and not place.knows(request.cookies.get(COOKIE)):
            raise web.HTTPUnauthorized(text="Open the address that `msgctl dash --web` printed, with its token.")
        return await handler(request)

    return enter


async def _page(_request: web.Request) -> web.StreamResponse:
    return web.FileResponse(FOLDER / "page.html", headers=HEADERS)


def _file(name: str) -> Handler:
    async def send(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(FOLDER / name, headers=HEADERS)

    return send
