"""The routes `GET /openapi.json` and `GET /docs`: the description of the API, without external assets."""

from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemons.gateway.http.openapi import build_document
from daemons.gateway.http.responses import JSON_MEDIA_TYPE

ASSETS_DIR = Path(__file__).with_name("assets")
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""The page may load files of this gateway only, and no other page may embed it."""
ASSET_FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def routes() -> list[Route]:
    """Return the routes of the document and of the page. Their content is built once."""
    document = msgspec.json.encode(build_document())
    files = [
        _static_route(path, (ASSETS_DIR / name).read_bytes(), media) for path, (name, media) in ASSET_FILES.items()
    ]
    return [_static_route("/openapi.json", document, JSON_MEDIA_TYPE), *files]


def _static_route(path: str, content: bytes, media: str) -> Route:
    async def answer(_: Request) -> Response:
        return Response(content, headers=SECURITY_HEADERS, media_type=media)

    return Route(path, answer)
