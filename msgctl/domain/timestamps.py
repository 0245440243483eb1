"""The time of day as the wire has it."""

from datetime import UTC, datetime


def timestamp() -> str:
    """Now, RFC 3339 in UTC to the millisecond; of two of them, the later one is the greater string."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
