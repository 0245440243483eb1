"""Formatting of screen text: foreign text is sanitized, numbers and times are shortened."""

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
"""Milliseconds of a day."""


def sanitize(text: object, *, keep: str = "") -> str:
    """Replace characters that could move the cursor, change the title, or forge a line, except those in `keep`."""
    return "".join(
        one if one in keep or one.isprintable() else " " if one in "\n\r\t" else "?" for one in str(text)
    )


def plain_text(text: object, style: str = "") -> Text:
    """Return a text that is drawn as it is, without markup."""
    return Text(sanitize(text), style=style, no_wrap=True, end="", overflow="ellipsis")


def mask_secrets(value: Any) -> Any:
    """Return JSON data with secrets masked, recognized by name or by form."""
    if isinstance(value, dict):
        return {
            key: MASKED_TEXT if SECRET_NAME_PATTERN.search(str(key)) else mask_secrets(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [mask_secrets(one) for one in value]
    return redact_text(escape_unprintable(value)) if isinstance(value, str) else value


def escape_unprintable(text: str) -> str:
    """Escape unprintable characters as JSON does."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def wrap_line(line: str, width: int) -> list[str]:
    """Wrap a line at a width in cells, between words. Continuation lines are indented by four cells more."""
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
    """Draw one character for each value. Any value above zero is visible."""
    top = max(peak or 0, *values, 1)
    return "".join(SPARKLINE_BARS[-(-one * 8 // top)] for one in values)


def format_count(number: float | None) -> str:
    """Format a whole number with thousands separators."""
    return "-" if number is None else f"{number:,.0f}"


def format_rate(number: float | None) -> str:
    """Format messages per second."""
    if number is None:
        return "-"
    digits = 0 if number >= 100 or number == 0 else 1 if number >= 1 else 2
    return f"{number:,.{digits}f}"


def format_time(milliseconds: float | None, *, date: bool = False) -> str:
    """Format a time of day in UTC."""
    if not milliseconds:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.gmtime(milliseconds / 1000))


def format_moment(milliseconds: float | None, now: float) -> str:
    """Format a time of day in UTC, or the date of a time more than a day ago."""
    if not milliseconds or now - milliseconds < DAY_MS:
        return format_time(milliseconds)
    return time.strftime("%d %b", time.gmtime(milliseconds / 1000))


def format_short_count(number: float) -> str:
    """Format a count in few cells: 9,999, 12k, 1.23M."""
    if number >= 1e6:
        return f"{number / 1e6:,.2f}M"
    return f"{number / 1000:.0f}k" if number >= 1e4 else format_count(number)
