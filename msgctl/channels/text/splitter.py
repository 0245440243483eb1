"""A long text in parts no longer than a provider takes. Pure, and linear in the length of the text."""

import bisect
from collections.abc import Sequence
from typing import Literal

from msgctl.channels.text.breaks import LEVELS, SPACE, cluster_end, is_extending, paragraphs
from msgctl.channels.text.styled import CODE_BLOCK, Piece, Span, Styled, TextPart, assemble
from msgctl.channels.text.units import Measure
from msgctl.domain.errors import DeliveryFailed, FaultClass
from msgctl.domain.visible_text import is_visible

LEAST_SHARE = 0.25
"""A cut that leaves a part shorter than this share of the limit is worse than one at a lesser pause."""
LEAST_ROOM = 4
"""The units that mark-up always leaves for text: one code point in any encoding."""
CLOSING = "[…]"
"""The word behind a text that was cut off."""

Overflow = Literal["cut", "refuse"]


class ReplyTooLong(DeliveryFailed):
    """A reply needs more parts than the settings allow; nothing of it was sent."""

    code = "reply_too_long"

    def __init__(self, max_parts: int) -> None:
        super().__init__(
            f"The reply needs more than {max_parts} messages. Let the agent answer shorter, or raise max_parts.",
            fault=FaultClass.FINAL,
            code=self.code,
        )


def split(
    text: str,
    limit: int,
    measure: Measure = len,
    *,
    max_parts: int | None = None,
    overflow: Overflow = "cut",
    closing: str = CLOSING,
) -> list[str]:
    """Cut a plain text into parts in order, dropping only the white space at the cuts and invisible parts.

    Args:
        text: the text.
        limit: the units that one part may measure at most, 4 or more.
        measure: the provider's unit.
        max_parts: the most parts to make.
        overflow: whether a longer text is cut off or refused.
        closing: the word behind a text that was cut off.

    Raises:
        ReplyTooLong: the text needs more parts and `overflow` is `refuse`.
    """
    parts = split_styled(Styled(text), limit, measure, max_parts=max_parts, overflow=overflow, closing=closing)
    return [part.text for part in parts]


def split_styled(
    styled: Styled,
    limit: int,
    measure: Measure = len,
    *,
    max_parts: int | None = None,
    overflow: Overflow = "cut",
    closing: str = CLOSING,
    max_spans: int | None = None,
) -> list[TextPart]:
    """Cut a styled text into parts, each with its spans closed and reopened at the cuts.

    Args:
        styled: the text with its spans.
        limit: the units that one part may measure at most, its mark-up included.
        measure: the provider's unit.
        max_parts: the most parts to make.
        overflow: whether a longer text is cut off or refused.
        closing: the word behind a text that was cut off.
        max_spans: the most spans of one part.

    Raises:
        ReplyTooLong: the text needs more parts and `overflow` is `refuse`.
    """
    cutter = _Cutter(styled, limit, measure, max_spans)
    pieces: list[Piece] = []
    at = cutter.skip_space(0)
    while at < len(styled.text) and (len(pieces) != max_parts):
        piece, following = cutter.cut(at, limit)
        if is_visible(styled.text, piece.start, piece.end):
            pieces.append(piece)
            if len(pieces) == max_parts and is_visible(styled.text, following):
                if overflow == "refuse":
                    raise ReplyTooLong(max_parts)
                pieces[-1] = cutter.last(at, closing)
        at = following
    return [assemble(styled, piece, measure) for piece in pieces]


class _Cutter:
    """Cuts one piece after the other from the beginning of a styled text."""

    def __init__(self, styled: Styled, limit: int, measure: Measure, max_spans: int | None) -> None:
        self._text = styled.text
        self._spans = sorted(styled.spans, key=lambda span: (span.start, -span.end))
        self._blocks = [(span.start, span.end) for span in self._spans if span.kind == CODE_BLOCK]
        self._atoms = styled.atoms
        self._limit = limit
        self._measure = measure
        self._max_spans = len(self._spans) if max_spans is None else max_spans
        self._next = 0  # the first span that does not begin before the cut
        self._open: list[Span] = []  # the spans that the cut is inside of

    def cut(self, start: int, limit: int) -> tuple[Piece, int]:
        """The piece that begins there, and where the next one begins."""
        self._advance(start)
        reach, spans = self._reach(start, limit)
        if reach == len(self._text):
            return Piece(start, self._trimmed(start, reach), spans), reach
        end = self._end(start, reach)
        spans = [span for span in spans if span.start < end]
        return Piece(start, self._trimmed(start, end), spans), self.skip_space(end)

    def last(self, start: int, closing: str) -> Piece:
        """The piece that begins there, with room for the closing word."""
        suffix = f"\n\n{closing}" if closing else ""
        if self._measure(suffix) + LEAST_ROOM > self._limit:
            suffix = ""
        piece, _ = self.cut(start, self._limit - self._measure(suffix))
        return Piece(piece.start, piece.end, piece.spans, suffix, is_cut=True)

    def skip_space(self, at: int) -> int:
        """Where the next part begins if the one before ended there."""
        if _covering(self._blocks, at) is not None:  # the indentation of code is kept
            return at + 1 if self._text[at : at + 1].isspace() else at
        found = SPACE.match(self._text, at)
        end = found.end() if found else at
        block = bisect.bisect_left(self._blocks, (at, 0))
        if block < len(self._blocks):
            end = min(end, max(at, self._blocks[block][0]))
        return end - 1 if end > at and is_extending(self._text, end) else end

    def _advance(self, start: int) -> None:
        while self._next < len(self._spans) and self._spans[self._next].start < start:
            self._open.append(self._spans[self._next])
            self._next += 1
        self._open = [span for span in self._open if span.end > start]

    def _cost(self, span: Span) -> int:
        return self._measure(span.opening) + self._measure(span.closing) if span.opening or span.closing else 0

    def _reach(self, start: int, limit: int) -> tuple[int, list[Span]]:
        """How far a piece can go at most, and the spans that it shows."""
        shown: list[Span] = []
        room = limit
        most = max(0, min(limit // 2, limit - LEAST_ROOM))  # mark-up that comes before the first character
        for span in self._open:
            cost = self._cost(span)
            if limit - room + cost <= most and len(shown) < self._max_spans:
                shown.append(span)
                room -= cost
        at, index = start, self._next
        while True:
            upto = self._spans[index].start if index < len(self._spans) else len(self._text)
            step = self._fitting(at, upto, room)
            room -= self._measure(self._text[at:step])
            at = step
            if step < upto or index == len(self._spans):
                break
            span = self._spans[index]
            cost = self._cost(span)
            fits = cost + LEAST_ROOM <= room and len(shown) < self._max_spans
            if at > start and not fits:
                if not self._fits_alone(span, limit):
                    index += 1  # mark-up that no part has room for is left out
                    continue
                break
            if fits and (at > start or limit - room + cost <= most):
                shown.append(span)
                room -= cost
            index += 1
        return max(at, start + 1), shown

    def _fits_alone(self, span: Span, limit: int) -> bool:
        return self._cost(span) <= max(0, min(limit // 2, limit - LEAST_ROOM))

    def _fitting(self, at: int, upto: int, room: int) -> int:
        """The furthest index up to which a stretch measures no more than the room."""
        high = min(upto, at + max(room, 0))
        if self._measure(self._text[at:high]) <= room:
            return high
        return bisect.bisect_right(range(at, high), room, key=lambda to: self._measure(self._text[at:to])) + at - 1

    def _end(self, start: int, reach: int) -> int:
        """Where a piece ends that cannot hold the rest."""
        least = start + (reach - start) * LEAST_SHARE
        for level in LEVELS:
            best = 0
            for at in level(self._text, start, min(reach + 1, len(self._text))):
                if least <= at <= reach and at > start and self._may_end(at, level is paragraphs):
                    best = at
            if best:
                return best
        end = cluster_end(self._text, start, reach)
        atom = _covering(self._atoms, end)
        return atom if atom is not None and atom > start else end

    def _may_end(self, at: int, is_paragraph: bool) -> bool:  # noqa: FBT001 - private
        if is_paragraph and _covering(self._blocks, at) is not None:
            return False
        return _covering(self._atoms, at) is None and not is_extending(self._text, at)

    def _trimmed(self, start: int, end: int) -> int:
        block = bisect.bisect_left(self._blocks, (end, 0)) - 1
        if block >= 0 and self._blocks[block][1] == end:  # the last line of code is kept as it is
            return end
        return start + len(self._text[start:end].rstrip())


def _covering(stretches: Sequence[tuple[int, int]], at: int) -> int | None:
    """The beginning of the stretch that an index is inside of, its ends not counted."""
    index = bisect.bisect_left(stretches, (at, 0)) - 1
    if index >= 0 and stretches[index][0] < at < stretches[index][1]:
        return stretches[index][0]
    return None
