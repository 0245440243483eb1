"""Texts on the screen: what strangers typed, made harmless; numbers and times, made short."""

import re
import time
from typing import Any

from rich.text import Text

from msgctl.logs import redact_text

SECRET = re.compile(r"token|secret|passw|authorization|api_?key|cookie|credential", re.IGNORECASE)
BARS = " ▁▂▃▄▅▆▇█"
MASK = "(masked)"
UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def clean(text: object, *, keep: str = "") -> str:
    """A text without what could move a cursor, change a title or forge a line; `keep` names what may stay."""
    return "".join(
        one if one in keep or one.isprintable() else " " if one in "\n\r\t" else "?" for one in str(text)
    )


def plain(text: object, style: str = "") -> Text:
    """A text to draw as it is: no markup is looked for in it."""
    return Text(clean(text), style=style, no_wrap=True, end="", overflow="ellipsis")


def masked(value: Any) -> Any:
    """JSON data with secrets masked, by their names and by their looks."""
    if isinstance(value, dict):
        return {key: MASK if SECRET.search(str(key)) else masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    return redact_text(value) if isinstance(value, str) else value


def sparkline(values: list[int], peak: int | None = None) -> str:
    """One character a value, higher for more; anything but nothing is seen."""
    top = max(peak or 0, *values, 1)
    return "".join(BARS[-(-one * 8 // top)] for one in values)


def count(number: float | None) -> str:
    """A whole number with its thousands set apart."""
    return "-" if number is None else f"{number:,.0f}"


def rate(number: float | None) -> str:
    """Messages a second."""
    if number is None:
        return "-"
    digits = 0 if number >= 100 or number == 0 else 1 if number >= 1 else 2
    return f"{number:,.{digits}f}"


def span(seconds: float | None) -> str:
    """A duration in the largest unit that fits."""
    if seconds is None:
        return "-"
    for unit, size in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def clock(milliseconds: float | None, *, date: bool = False) -> str:
    """A time of day, in UTC."""
    if not milliseconds:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.gmtime(milliseconds / 1000))
