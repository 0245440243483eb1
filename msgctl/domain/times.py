"""Timestamps in their wire format, and durations in the notation of people: `90s`, `15m`, `1h30m`."""

import re
from datetime import UTC, datetime

from msgctl.domain.errors import InvalidInput

UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
"""Seconds in each unit."""
NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
PARTS = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
PART = re.compile(r"([\d.]+)([smhdw])")


def timestamp() -> str:
    """Return the current time as RFC 3339 in UTC with milliseconds. Later timestamps sort after earlier ones."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_duration(text: str) -> float:
    """Parse `90s`, `15m`, `2h`, `7d`, `1w`, or `1h30m`. A bare number counts seconds.

    Returns:
        Seconds.

    Raises:
        InvalidInput: the text is not a duration.
    """
    if NUMBER.fullmatch(text):
        return float(text)
    if not PARTS.fullmatch(text):
        raise InvalidInput(f"{text!r} is not a duration. Write 90 or 90s, 15m, 2h, 7d, or 1h30m.")
    return sum(float(number) * UNITS_S[unit] for number, unit in PART.findall(text))


def format_duration(seconds: float | None) -> str:
    """Return seconds in the largest unit that fits, up to days: `45s`, `3m`, `2h`, `5d`; `-` for None."""
    if seconds is None:
        return "-"
    for unit in ("d", "h", "m"):
        if seconds >= UNITS_S[unit]:
            return f"{seconds / UNITS_S[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"
