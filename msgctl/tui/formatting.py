"""Texts on the screen: what strangers typed, made harmless; numbers and times, made short."""

import json
import re
import time
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from msgctl.observability.logs import redact_text

SECRET_NAME_PATTERN = re.compile(r"token|secret|passw|authorization|api_?key|cookie|credential", re.IGNORECASE)
SPARKLINE_BARS = " ▁▂▃▄▅▆▇█"
MASKED_TEXT = "(masked)"
DAY_MS = 86_400_000
"""Milliseconds."""


def sanitize(text: object, *, keep: str = "") -> str:
    """A text without what could move a cursor, change a title or forge a line; `keep` names what may stay."""
    return "".join(
        one if one in keep or one.isprintable() else " " if one in "\n\r\t" else "?" for one in str(text)
    )


def plain_text(text: object, style: str = "") -> Text:
    """A text to draw as it is: no markup is looked for in it."""
    return Text(sanitize(text), style=style, no_wrap=True, end="", overflow="ellipsis")


def mask_secrets(value: Any) -> Any:
    """JSON data with secrets masked, by their names and by their looks."""
    if isinstance(value, dict):
        return {
            key: MASKED_TEXT if SECRET_NAME_PATTERN.search(str(key)) else mask_secrets(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [mask_secrets(one) for one in value]
    return redact_text(escape_unprintable(value)) if isinstance(value, str) else value


def escape_unprintable(text: str) -> str:
    """A text whose unprintable characters are spelled out, as JSON would."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def wrap_line(line: str, width: int) -> list[str]:
    """A line over so many cells, broken between words; what follows stands four cells further in."""
    lead = " " * min(len(line) - len(line.lstrip()) + 4, width // 2)
    lines, current = list[str](), ""
    for word in re.findall(r"\s*\S+", line):
        while cell_len(current + word) > width:
            if current.strip():
                lines.append(current)
                current, word = lead, word.lstrip()  # noqa: PLW2901 - what is left of it
                continue
            room = next(n for n in range(len(word), 0, -1) if cell_len(current + word[:n]) <= width)
            lines.append(current + word[:room])
            current, word = lead, word[room:]  # noqa: PLW2901 - likewise
        current += word
    return [*lines, current] if current.strip() or not lines else lines


def sparkline(values: list[int], peak: int | None = None) -> str:
    """One character a value, higher for more; anything but nothing is seen."""
    top = max(peak or 0, *values, 1)
    return "".join(SPARKLINE_BARS[-(-one * 8 // top)] for one in values)


def format_count(number: float | None) -> str:
    """A whole number with its thousands set apart."""
    return "-" if number is None else f"{number:,.0f}"


def format_rate(number: float | None) -> str:
    """Messages a second."""
    if number is None:
        return "-"
    digits = 0 if number >= 100 or number == 0 else 1 if number >= 1 else 2
    return f"{number:,.{digits}f}"


def format_time(milliseconds: float | None, *, date: bool = False) -> str:
    """A time of day, in UTC."""
    if not milliseconds:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.gmtime(milliseconds / 1000))


def format_moment(milliseconds: float | None, now: float) -> str:
    """A time of day, in UTC; of what is more than a day ago the day."""
    if not milliseconds or now - milliseconds < DAY_MS:
        return format_time(milliseconds)
    return time.strftime("%d %b", time.gmtime(milliseconds / 1000))


def format_short_count(number: float) -> str:
    """A count in few cells: 9,999 but 12k and 1.23M."""
    if number >= 1e6:
        return f"{number / 1e6:,.2f}M"
    return f"{number / 1000:.0f}k" if number >= 1e4 else format_count(number)
