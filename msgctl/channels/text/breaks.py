"""Where a reader of any script would pause, and where Unicode (UAX #29) allows a text to be cut at all."""

import re
from collections import deque
from collections.abc import Iterator

import regex

PARAGRAPH = re.compile(r"(?:\r?\n|\u2029)[ \t\r]*\n|\u2029")
LINE = re.compile(r"\r?\n|[\u2028\x85]")
SENTENCE = regex.compile(r"[\p{Sentence_Terminal}…]++[\p{Pe}\p{Pf}\p{Pi}\"'*_~]*+")
WORD = re.compile(r"(?P<space>[^\S\u00a0\u2007\u202f]+)|[，、；：،؛\u200b\u0f0b]")  # noqa: RUF001 - full-width marks are meant
SPACED = frozenset(".!?…")
"""The marks that end a sentence only before white space: `3.50`, `v1.2`, `?a=1`."""
SPACE = re.compile(r"\s*")
_EXTENDING = regex.compile(r"[\p{Grapheme_Cluster_Break=Extend}\p{Grapheme_Cluster_Break=SpacingMark}\u200d]")
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}\Z")
_CLUSTER = regex.compile(r"\X")
_NOT_FIRST = regex.compile(r"[、。，．！？；：」』）】〉》”’…ー]")  # noqa: RUF001 - full-width marks are meant
_LOOK_BACK = 16


def is_extending(text: str, at: int) -> bool:
    """Whether the character there belongs to the one before it."""
    return at < len(text) and _EXTENDING.match(text, at) is not None


def paragraphs(text: str, start: int, end: int) -> Iterator[int]:
    """Where paragraphs end in a window."""
    return (found.start() for found in PARAGRAPH.finditer(text, start, end))


def lines(text: str, start: int, end: int) -> Iterator[int]:
    """Where lines end in a window."""
    return (found.start() for found in LINE.finditer(text, start, end))


def sentences(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end in a window, behind closing quotes and brackets."""
    for found in SENTENCE.finditer(text, start, end):
        at = found.end()
        stop = found.group().rstrip("\"'*_~")
        after = text[at : at + 1]
        if after and not after.isspace() and ((stop and stop[-1] in SPACED) or found.group()[0] in SPACED):
            continue
        if after and SENTENCE.match(text, at):  # the window ends inside a run of marks
            continue
        if not _LIST_NUMBER.search(text, max(start, found.start() - 8), found.start()):
            yield at


def words(text: str, start: int, end: int) -> Iterator[int]:
    """Where words end in a window: at white space that may break, and behind a comma of a script without it."""
    return (found.start() if found["space"] else found.end() for found in WORD.finditer(text, start, end))


LEVELS = (paragraphs, lines, sentences, words)
"""The pauses, the best first."""


def cluster_end(text: str, start: int, reach: int) -> int:
    """The last end of a grapheme cluster in a window that starts at one.

    A cluster longer than the window is cut inside: before a base character if one is near, else at the end.
    """
    ends: deque[int] = deque(maxlen=5)
    for found in _CLUSTER.finditer(text[start : reach + 1]):
        if start + found.end() <= reach:
            ends.append(start + found.end())
    if not ends:
        return _inside_cluster(text, start, reach)
    for end in reversed(ends):
        if not _NOT_FIRST.match(text, end) and end - start >= (reach - start) // 2:
            return end
    return ends[-1]


def _inside_cluster(text: str, start: int, reach: int) -> int:
    for end in range(reach, max((start + reach) // 2, reach - _LOOK_BACK), -1):
        if not is_extending(text, end):
            return end
    return reach
