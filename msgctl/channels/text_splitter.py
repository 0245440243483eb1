"""Splitting of a long reply into parts that a provider accepts, at the pauses of a reader. Pure: no I/O."""

import re
from collections.abc import Callable

BREAK_PATTERNS = (
    re.compile(r"\n[ \t]*\n\s*"),  # between paragraphs
    re.compile(r"\n\s*"),  # between lines
    re.compile(r"(?<=[.!?…。！？])\s+"),  # between sentences  # noqa: RUF001 - full-width marks are meant
    re.compile(r"\s+"),  # between words
)
"""The places to cut, the best first."""
MIN_PART_SHARE = 0.25
"""A place that makes a part shorter than this share of the limit is skipped for a lesser one."""
COMBINING_REGEX = re.compile(r"[\u0300-\u036f\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Characters that belong to the one before: accents, variation selectors, skin tones, the joiner of emojis."""


def utf16_units(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, measure: Callable[[str], int] = len) -> list[str]:
    """Split a text into parts in order; only white space at the cuts is dropped.

    Args:
        text: the text to split.
        limit: the greatest length of a part, 4 or more.
        measure: returns the length of a text; `len` counts characters.

    Returns:
        The parts, none of them blank; an empty list for a blank text.
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
    """Return where the first part ends and where the next one begins."""
    room = _fitting(text, limit, measure)
    if room == len(text):
        return room, room
    for pattern in BREAK_PATTERNS:
        best = None
        for match in pattern.finditer(text, 0, room + 1):
            if match.start() <= room:
                best = match
        if best is not None and best.start() >= room * MIN_PART_SHARE:
            return best.start(), best.end()
    while room > 1 and _belong_together(text, room):
        room -= 1
    return room, room


def _belong_together(text: str, at: int) -> bool:
    return COMBINING_REGEX.match(text, at) is not None or text[at - 1] == "\u200d"


def _fitting(text: str, limit: int, measure: Callable[[str], int]) -> int:
    """Return how many leading characters of a text fit the limit."""
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
