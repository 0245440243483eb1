"""Times in output: relative for people, RFC 3339 for programs."""

import time
from datetime import UTC, datetime

from msgctl.domain.times import format_duration


def format_age(milliseconds: float | None) -> str | None:
    """Return the age of a Unix time in milliseconds, in one unit: `3m ago`."""
    if milliseconds is None:
        return None
    return f"{format_duration(max(0.0, time.time() - milliseconds / 1000))} ago"


def format_rfc3339(milliseconds: float | None) -> str | None:
    """Return a Unix time in milliseconds as RFC 3339 in UTC, with milliseconds."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
