"""`GET /openapi.json` and `GET /docs`: the API describes itself, without any outside asset."""

from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemons.gateway.answers import JSON
from daemons.gateway.openapi import describe

ASSETS = Path(__file__).with_name("assets")
POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""The page may load what this gateway serves, and nothing else; nobody may frame it."""
FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def routes() -> list[Route]:
    """The document and the page; each is made once."""
    document = msgspec.json.encode(describe())
    files = [_file(path, (ASSETS / name).read_bytes(), media) for path, (name, media) in FILES.items()]
    return [_file("/openapi.json", document, JSON), *files]


def _file(path: str, content: bytes, media: str) -> Route:
    async def answer(_: Request) -> Response:
        return Response(content, headers=POLICY, media_type=media)

    return Route(path, answer)
