"""Decide, while a reply is still being written, what of it may be shown already. Pure."""

import re

from msgctl.domain.visible_text import find_visible, repair_text
from msgctl.processing.thinking import strip_thinking

_EAGER_LOOKS = 64
_GROWTH = 1.125
_LONGEST_OPENING = 320
_CLOSED = re.compile(r"[>▷]|&gt;")
_HIGH_SURROGATES = ("\ud800", "\udbff")


class DeltaGate:
    """Holds back the beginning of a block until it is known to be the reply's own text.

    JSON is held back whole, for it may be an answer with fields of its own; thinking is held back until it has
    ended. Half a surrogate pair waits for its other half.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._size = self._looked_at = self._looks = 0
        self._is_passing = False
        self._half = ""

    def feed(self, piece: str) -> str:
        """What may be shown now that `piece` has come; empty while nothing may."""
        if self._is_passing:
            return self._whole_characters(piece)
        self._held.append(piece)
        self._size += len(piece)
        # A look reads all that is held: often at first, then as it grows, so that the whole stays linear.
        if self._looks > _EAGER_LOOKS and self._size < self._looked_at * _GROWTH:
            return ""
        self._looks += 1
        self._looked_at = self._size
        return self._look("".join(self._held))

    def _look(self, held: str) -> str:
        text = strip_thinking(held)
        start = find_visible(text)
        if start == len(text) or text[start] in "{[" or _may_be_opening(text[start:]):
            return ""
        self._held.clear()
        self._is_passing = True
        return self._whole_characters(text)

    def _whole_characters(self, piece: str) -> str:
        text, self._half = self._half + piece, ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._half = text[:-1], text[-1]
        return repair_text(text)


def _may_be_opening(text: str) -> bool:
    """Whether a text may still turn out to open thinking, once more of it has come."""
    return text[0] in "<&◁" and len(text) < _LONGEST_OPENING and not _CLOSED.search(text)
