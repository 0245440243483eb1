"""Errors of the gateway's HTTP interface, as errors of msgctl."""

from typing import Any

from msgctl.domain.errors import InvalidInput, MsgctlError, NotFound, Refused, Unavailable

ERROR_BY_STATUS = {400: InvalidInput, 404: NotFound, 409: Refused, 413: InvalidInput, 422: InvalidInput}
HINT_BY_STATUS = {
    401: " Make a token: msgctl token issue --user USER",
    404: " See: msgctl agent list",
}


def gateway_error(status: int, document: Any) -> MsgctlError:
    """Return the error to raise for an answer of the gateway.

    Args:
        status: the HTTP status, not 2xx.
        document: the decoded body.
    """
    fault = document.get("error") if isinstance(document, dict) else None
    fault = fault if isinstance(fault, dict) else {}
    text = f"The gateway answered {status}: {fault.get('message', '')}{HINT_BY_STATUS.get(status, '')}"
    return ERROR_BY_STATUS.get(status, Unavailable)(text, details=fault.get("details"))
