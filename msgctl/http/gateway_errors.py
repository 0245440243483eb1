"""What the gateway refuses, as an error of ours."""

from typing import Any

from msgctl.domain.errors import InvalidInput, MsgctlError, NotFound, Refused, Unavailable

ERROR_BY_STATUS = {400: InvalidInput, 404: NotFound, 409: Refused, 413: InvalidInput, 422: InvalidInput}
HINT_BY_STATUS = {
    401: " Make a token: msgctl token issue --user USER",
    404: " See: msgctl agent list",
}


def gateway_error(status: int, document: Any) -> MsgctlError:
    """The error to raise.

    Args:
        status: of HTTP, no success.
        document: the body, decoded.
    """
    fault = document.get("error") if isinstance(document, dict) else None
    fault = fault if isinstance(fault, dict) else {}
    text = f"The gateway answered {status}: {fault.get('message', '')}{HINT_BY_STATUS.get(status, '')}"
    return ERROR_BY_STATUS.get(status, Unavailable)(text, details=fault.get("details"))
