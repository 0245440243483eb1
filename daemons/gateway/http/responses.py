"""The responses of the HTTP API: one format for success and one for errors, on all paths."""

import math
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from daemons.gateway.http.schemas import Refusal, Success, make_problem
from daemons.gateway.translations import Texts
from msgctl.domain.errors import MsgctlError

JSON_MEDIA_TYPE = "application/json; charset=utf-8"
ROUTING_CODES = {404: "not_found", 405: "method_not_allowed", 426: "upgrade_required"}
"""The error codes of the router itself, by HTTP status."""
DEFAULT_RETRY_AFTER_S = 2.0
"""Seconds a client should wait if the error does not tell."""


def success_response(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Create the response `{"success": true, "data": …}`."""
    return json_response(Success(data=data), status, headers)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Create a JSON response from a struct, which no cache may keep."""
    return Response(
        msgspec.json.encode(body), status, {"cache-control": "no-store", **(headers or {})}, JSON_MEDIA_TYPE
    )


def retry_after_header(error: MsgctlError | None = None) -> dict[str, str]:
    """Create the Retry-After header, in whole seconds."""
    seconds = error.retry_after if error and error.retry_after else DEFAULT_RETRY_AFTER_S
    return {"retry-after": str(math.ceil(seconds))}


def error_response(error: MsgctlError, texts: Texts) -> Response:
    """Create the response `{"success": false, "error": …}` with the status and headers of the error."""
    headers = {}
    if error.http_status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers = retry_after_header(error)
    elif error.http_status == HTTPStatus.UNAUTHORIZED:
        headers = {"www-authenticate": 'Bearer realm="msgctl"'}
    elif error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Clients must not see details of internal errors, not even the code.
        error = MsgctlError("")
    return json_response(
        Refusal(error=make_problem(error.code, texts.error_text(error), error)), error.http_status, headers
    )


def routing_error_response(status: int, texts: Texts, headers: dict[str, str] | None = None) -> Response:
    """Create the response for an error of the router."""
    code = ROUTING_CODES.get(status, "bad_request")
    return json_response(Refusal(error=make_problem(code, texts.errors[code])), status, headers)
