"""A long reply, cut where a reader would pause, into parts no longer than a provider takes. Pure: no I/O."""

import re
from collections.abc import Callable

PAUSES = (
    re.compile(r"\n[ \t]*\n\s*"),  # between paragraphs
    re.compile(r"\n\s*"),  # between lines
    re.compile(r"(?<=[.!?…。！？])\s+"),  # between sentences  # noqa: RUF001 - full-width marks are meant
    re.compile(r"\s+"),  # between words
)
"""Where to cut, the best first."""
LEAST_SHARE = 0.25
"""A cut that leaves a part shorter than this share of the limit is worse than one at a lesser pause."""
JOINERS = re.compile(r"[\u0300-\u036f\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""What belongs to the character before it: accents, variation selectors, skin tones, the joiner of emojis."""


def utf16_units(text: str) -> int:
    """The length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, measure: Callable[[str], int] = len) -> list[str]:
    """Cut a text into parts in order, dropping only the white space at the cuts.

    Args:
        text: what to cut.
        limit: what one part may measure at most, 4 or more.
        measure: how long a text is; `len` counts characters.

    Returns:
        The parts, none of them blank; none at all for a blank text.
    """
    parts = []
    rest = text.strip()
    while rest:
        end, begin = _cut(rest, limit, measure)
        part = rest[:end].rstrip()
        if part:
            parts.append(part)
        rest = rest[begin:].lstrip()
    return parts


def _cut(text: str, limit: int, measure: Callable[[str], int]) -> tuple[int, int]:
    """Where the first part ends and where the next one begins."""
    room = _fitting(text, limit, measure)
    if room == len(text):
        return room, room
    for pause in PAUSES:
        best = None
        for found in pause.finditer(text, 0, room + 1):
            if found.start() <= room:
                best = found
        if best is not None and best.start() >= room * LEAST_SHARE:
            return best.start(), best.end()
    while room > 1 and _belong_together(text, room):
        room -= 1
    return room, room


def _belong_together(text: str, at: int) -> bool:
    return JOINERS.match(text, at) is not None or text[at - 1] == "\u200d"


def _fitting(text: str, limit: int, measure: Callable[[str], int]) -> int:
    """The most characters from the beginning of a text that measure no more than the limit."""
    if measure(text) <= limit:
        return len(text)
    low, high = 1, min(limit, len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
