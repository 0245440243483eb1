"""The units in which providers count the length of a text."""

from collections.abc import Callable

Measure = Callable[[str], int]
"""The length of a text; additive, so that two stretches measure as much as both together."""


def code_points(text: str) -> int:
    """The length in Unicode code points."""
    return len(text)


def utf16_units(text: str) -> int:
    """The length in UTF-16 code units, as Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_bytes(text: str) -> int:
    """The length in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
