"""Times: relative for people, RFC 3339 for machines, durations as people type them."""

import re
import time
from datetime import UTC, datetime

from msgctl.errors import InvalidInput

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")


def parse_duration(text: str) -> float:
    """Seconds in `90s`, `15m`, `2h`, `7d`, `1h30m`; a bare number is one of seconds.

    Raises:
        InvalidInput: it is none of these.
    """
    if NUMBER.fullmatch(text):
        return float(text)
    if not DURATION.fullmatch(text):
        raise InvalidInput(f"{text!r} is no duration; write 90 or 90s, 15m, 2h, 7d or 1h30m.")
    return sum(float(part[:-1]) * UNITS[part[-1]] for part in re.findall(r"[\d.]+[smhdw]", text))


def ago(milliseconds: float | None) -> str | None:
    """How long ago a Unix time in milliseconds was, in one unit: `3m ago`."""
    if milliseconds is None:
        return None
    return f"{span(max(0.0, time.time() - milliseconds / 1000))} ago"


def span(seconds: float) -> str:
    """A duration in its largest unit that fits: `45s`, `3m`, `2h`, `5d`."""
    for unit in ("d", "h", "m"):
        if seconds >= UNITS[unit]:
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"


def rfc3339(milliseconds: float | None) -> str | None:
    """A Unix time in milliseconds as RFC 3339 in UTC, with milliseconds."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
