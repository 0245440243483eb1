"""Answers of the HTTP API: one shape for success, one for every refusal, on every path."""

import math
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from daemons.gateway.bodies import Refusal, Success, problem
from daemons.gateway.texts import Texts
from msgctl import logs
from msgctl.errors import MsgctlError

log = logs.get(__name__)

JSON = "application/json; charset=utf-8"
ROUTING_CODES = {404: "not_found", 405: "method_not_allowed", 426: "upgrade_required"}
"""The codes of what the router itself refuses."""
DEFAULT_RETRY_AFTER = 2.0
"""Seconds a client is asked to wait where nobody knows better."""


def succeed(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`{"success": true, "data": …}`."""
    return as_json(Success(data=data), status, headers)


def as_json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Any struct as a JSON response, which no cache may keep."""
    return Response(msgspec.json.encode(body), status, {"cache-control": "no-store", **(headers or {})}, JSON)


def retry_after(error: MsgctlError | None = None) -> dict[str, str]:
    """The header that says when to come back, in whole seconds."""
    seconds = error.retry_after if error and error.retry_after else DEFAULT_RETRY_AFTER
    return {"retry-after": str(math.ceil(seconds))}


def refuse(error: MsgctlError, texts: Texts) -> Response:
    """`{"success": false, "error": …}` with the status and the headers that go with it."""
    headers = {}
    if error.http_status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers = retry_after(error)
    elif error.http_status == HTTPStatus.UNAUTHORIZED:
        headers = {"www-authenticate": 'Bearer realm="msgctl"'}
    elif error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Whatever went wrong in here is nobody's business out there, its code included.
        error = MsgctlError("")
    return as_json(Refusal(error=problem(error.code, texts.of(error), error)), error.http_status, headers)


def refuse_route(status: int, texts: Texts, headers: dict[str, str] | None = None) -> Response:
    """The same shape for what the router refuses."""
    code = ROUTING_CODES.get(status, "bad_request")
    return as_json(Refusal(error=problem(code, texts.errors[code])), status, headers)


class Boundary:
    """Turns whatever an HTTP route raises into the one shape of a refusal.

    Args:
        app: the router.
        texts: the language of the refusals.
    """

    def __init__(self, app: ASGIApp, texts: Texts) -> None:
        self._app = app
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["app"] = self  # asks the router to raise its refusals instead of answering in plain text
        try:
            await self._app(scope, receive, send)
        except MsgctlError as error:
            if error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("a request failed", code=error.code)
            response = refuse(error, self._texts)
        except HTTPException as error:
            allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            response = refuse_route(error.status_code, self._texts, {"allow": allow} if allow else None)
        except Exception:
            log.exception("a request failed unexpectedly")
            response = refuse(MsgctlError(""), self._texts)
        else:
            return
        await response(scope, receive, send)
