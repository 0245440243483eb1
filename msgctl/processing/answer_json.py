"""Parse JSON that others wrote: strictly first, then with their usual mistakes. Pure.

Half a surrogate pair, a line break inside a string and NaN are forgiven; a text that is not JSON is not.
"""

import json
from typing import Any

import msgspec

_LENIENT = json.JSONDecoder(strict=False, parse_constant=lambda _name: None)
_FAULTS = (ValueError, RecursionError, msgspec.MsgspecError)


class NotJson(Exception):
    """The text is no JSON."""


class TooDeep(NotJson):
    """The text may be JSON, but is nested more deeply than anybody reads."""


def parse_json(text: str) -> Any:
    """The one JSON value of a text.

    Raises:
        NotJson: it holds none, more than one, or one that is nested too deeply.
    """
    try:
        return msgspec.json.decode(text.encode())
    except _FAULTS:
        pass
    try:
        return _LENIENT.decode(text)
    except RecursionError:
        raise TooDeep from None
    except _FAULTS:
        raise NotJson from None


def parse_values(text: str) -> tuple[list[Any], bool]:
    """Every JSON value that stands one behind the other, with or without line breaks between.

    Returns:
        The values, and whether the whole text was read.
    """
    values: list[Any] = []
    position = 0
    while True:
        position = _skip_space(text, position)
        if position >= len(text):
            return values, True
        try:
            value, position = _LENIENT.raw_decode(text, position)
        except _FAULTS:
            return values, False
        values.append(value)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\x1e":
        position += 1
    return position
