"""JSON that another system wrote: read strictly, and if that fails, with the usual mistakes forgiven.

A client of msgctl is held to the standard. A provider's webhook or answer is not, because its sender cannot fix it
and the record would be lost. Half a surrogate pair and bytes that are not UTF-8 become U+FFFD, a byte order mark
is skipped, a control character may stand in a string, and NaN is null.
"""

import json
from typing import Any

import msgspec

_FAULTS = (ValueError, RecursionError, msgspec.MsgspecError)
_LENIENT = json.JSONDecoder(strict=False, parse_constant=lambda _name: None)
_UTF16 = "utf-16-le"


class InvalidForeignJson(ValueError):
    """The bytes are not one JSON value, or it is nested too deeply."""


def decode_foreign_json(body: bytes) -> Any:
    """Return the JSON value of a body. No string in it contains half a surrogate pair.

    Raises:
        InvalidForeignJson: the body is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except _FAULTS:
        pass
    try:
        value = _LENIENT.decode(body.decode("utf-8-sig", "replace").strip())
        return msgspec.json.decode(_without_lone_surrogates(json.dumps(value, ensure_ascii=False)))
    except _FAULTS:
        raise InvalidForeignJson("The body is not JSON.") from None


def _without_lone_surrogates(text: str) -> str:
    return text.encode(_UTF16, "surrogatepass").decode(_UTF16, "replace")
