"""The parts of a reply as version 0.1 cut it, for a delivery that it began and that an upgrade interrupted.

Version 0.1 recorded how many parts were sent, but not the parts. Only a cut at the same places sends the rest
without losing or repeating any of it. Remove this module when no record of such a delivery can be left.
"""

import re
from collections.abc import Callable

from msgctl.channels.text.styled import TextPart
from msgctl.channels.text.units import utf16_units
from msgctl.config.settings import Settings
from msgctl.domain.messages import Response

PAUSES = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"(?<=[.!?…。！？])\s+"),  # noqa: RUF001 - full-width marks are meant
    re.compile(r"\s+"),
)
LEAST_SHARE = 0.25
COMBINING_REGEX = re.compile(r"[\u0300-\u036f\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")


def earlier_parts(response: Response, settings: Settings) -> list[TextPart] | None:
    """Return the parts that version 0.1 made of a response, or None for a channel that it did not split.

    Args:
        response: the response.
        settings: `whatsapp.provider`.
    """
    measure: Callable[[str], int] = len
    if response.channel == "telegram":
        limit, measure = 4096, utf16_units
    elif response.channel == "whatsapp":
        provider = response.channel_metadata.get("provider", settings.whatsapp.provider)
        limit = 1600 if provider == "twilio" else 4096
    else:
        return None
    return [TextPart(part) for part in _split(response.response.message, limit, measure)]


def _split(text: str, limit: int, measure: Callable[[str], int]) -> list[str]:
    parts = []
    rest = text.strip()
    while rest:
        end, begin = _cut(rest, limit, measure)
        if part := rest[:end].rstrip():
            parts.append(part)
        rest = rest[begin:].lstrip()
    return parts


def _cut(text: str, limit: int, measure: Callable[[str], int]) -> tuple[int, int]:
    """Return where the first part ends and where the next one begins."""
    room = _fitting(text, limit, measure)
    if room == len(text):
        return room, room
    for pause in PAUSES:
        found = [match for match in pause.finditer(text, 0, room + 1) if match.start() <= room]
        if found and found[-1].start() >= room * LEAST_SHARE:
            return found[-1].start(), found[-1].end()
    while room > 1 and (COMBINING_REGEX.match(text, room) or text[room - 1] == "\u200d"):
        room -= 1
    return room, room


def _fitting(text: str, limit: int, measure: Callable[[str], int]) -> int:
    """Return how many leading characters of a text fit the limit."""
    if len(text) <= limit and measure(text) <= limit:
        return len(text)
    low, high = 1, min(limit, len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
