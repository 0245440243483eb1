"""The web server: the bridge of textual-serve between browser and dashboard, with our own page and access check.

The page of textual-serve loads a font from Google, so it is not used. All files come from this package and from
textual-serve, and a security policy stops the browser from loading anything else.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.tui.web.endpoint import TOKEN_COOKIE, WebEndpoint

try:
    from textual_serve.server import Server
except ImportError:  # part of the extra `web`
    Server = None  # type: ignore[assignment,misc]  # checked before use

ASSETS_DIR = Path(__file__).parent
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(endpoint: WebEndpoint, command: str, *, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        endpoint: the address and the token.
        command: the shell command of one dashboard.
        on_ready: is called with the URL to open.

    Raises:
        ConfigurationError: textual-serve is not installed.
        Unavailable: the port is in use.
    """
    if Server is None:
        raise ConfigurationError('A browser needs the extra "web": pip install "msgctl[web]"')
    asyncio.run(_serve(endpoint, command, on_ready))


async def _serve(endpoint: WebEndpoint, command: str, on_ready: Callable[[str], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        listener = socket.create_server(
            (endpoint.host, endpoint.port), family=socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        )
    except OSError as error:
        raise Unavailable(f"{endpoint.url} cannot be listened on: {error.strerror}. Try --port 0.") from error
    endpoint = endpoint._replace(port=listener.getsockname()[1])
    runner = web.AppRunner(make_app(endpoint, command), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, shutdown_timeout=1.0).start()
        on_ready(f"The dashboard is at {endpoint.login_url}")
        await stopping.wait()
    finally:
        await runner.cleanup()


def make_app(endpoint: WebEndpoint, command: str) -> web.Application:
    """Return the application with our page and style, and the script, fonts, and socket of textual-serve."""
    bridge: Any = Server(command, host=endpoint.host, port=endpoint.port, title="msgctl")
    app = web.Application(middlewares=[_access_middleware(endpoint)])
    app.add_routes(
        [
            web.get("/", _send_page),
            web.get("/page.js", _static_file("page.js")),
            web.get("/page.css", _static_file("page.css")),
            web.get("/ws", bridge.handle_websocket),
            web.static("/static", bridge.statics_path),
        ]
    )
    return app


def _access_middleware(endpoint: WebEndpoint) -> Any:
    """Return middleware that admits the browsers of `place`, and no page of another site."""

    @web.middleware
    async def enter(request: web.Request, handler: WebHandler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if not endpoint.is_own_host(request.host) or (origin and urlsplit(origin).netloc != request.host):
            raise web.HTTPForbidden(text="This page may not access the dashboard.")
        if endpoint.token and "token" in request.query and endpoint.matches_token(request.query["token"]):
            entered = web.HTTPSeeOther("/")
            entered.set_cookie(TOKEN_COOKIE, endpoint.token, httponly=True, samesite="Strict", path="/")
            raise entered
        if endpoint.token and not endpoint.matches_token(request.cookies.get(TOKEN_COOKIE)):
            raise web.HTTPUnauthorized(text="Open the address that `msgctl dash --web` printed, with its token.")
        return await handler(request)

    return enter


async def _send_page(_request: web.Request) -> web.StreamResponse:
    return web.FileResponse(ASSETS_DIR / "page.html", headers=SECURITY_HEADERS)


def _static_file(name: str) -> WebHandler:
    async def send(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(ASSETS_DIR / name, headers=SECURITY_HEADERS)

    return send
