"""Text with marked-up spans, whatever their notation, and the parts that are sent of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from msgctl.channels.text.units import Measure

CODE_BLOCK = "pre"
ENTITY_KINDS = frozenset(
    {"bold", "italic", "underline", "strikethrough", "spoiler", "code", CODE_BLOCK, "text_link"}
)
"""The kinds of span that Telegram has an entity for."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text with one style.

    Args:
        start: the index of its first code point.
        end: the index behind its last one.
        kind: a name from Telegram's entity types, or empty.
        opening: the mark-up that a part needs before the stretch.
        closing: the mark-up that a part needs behind it.
        value: the URL of a `text_link`, the language of a `pre`.
    """

    start: int
    end: int
    kind: str = ""
    opening: str = ""
    closing: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Styled:
    """A text, its spans and its atoms.

    Args:
        text: the text without the mark-up of its spans.
        spans: properly nested, outer before inner.
        atoms: stretches that must not be cut, e.g. `&amp;`, in order.
    """

    text: str
    spans: Sequence[Span] = ()
    atoms: Sequence[tuple[int, int]] = ()


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `MessageEntity` of the Bot API; `offset` and `length` count UTF-16 units."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None


class TextPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to send."""

    text: str
    entities: tuple[Entity, ...] = ()
    is_cut: bool = False
    """Whether it is the last part of a reply that was cut off behind it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a styled text that becomes one part, and the spans that it shows."""

    start: int
    end: int
    spans: Sequence[Span]
    suffix: str = ""
    is_cut: bool = False


@dataclass(slots=True)
class _StyledWriter:
    measure: Measure
    chunks: list[str] = field(default_factory=list)
    offset: int = 0
    entities: list[tuple[Span, int, int]] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.chunks.append(text)
        self.offset += self.measure(text)


def assemble(styled: Styled, piece: Piece, measure: Measure) -> TextPart:
    """Write a piece with the mark-up of its spans opened and closed inside it."""
    writer, at = _StyledWriter(measure), piece.start
    stack: list[tuple[int, Span, int]] = []  # where it ends, the span, its slot among the entities

    def advance(to: int) -> None:
        nonlocal at
        while stack and stack[-1][0] <= to:
            end, span, slot = stack.pop()
            writer.write(styled.text[at:end])
            at = end
            writer.write(span.closing)
            if slot >= 0:
                writer.entities[slot] = (span, writer.entities[slot][1], writer.offset)
        writer.write(styled.text[at:to])
        at = to

    for span, start, end in _clipped(styled.text, piece):
        advance(start)
        writer.write(span.opening)
        slot = -1
        if span.kind in ENTITY_KINDS and not span.opening:
            slot = len(writer.entities)
            writer.entities.append((span, writer.offset, writer.offset))
        stack.append((min(end, stack[-1][0]) if stack else end, span, slot))
    advance(piece.end)
    entities = tuple(_entity(*one) for one in writer.entities if one[2] > one[1])
    return TextPart("".join(writer.chunks) + piece.suffix, entities, piece.is_cut)


def _clipped(text: str, piece: Piece) -> Iterable[tuple[Span, int, int]]:
    """The spans of a piece with their ends in it, without the white space at their edges."""
    found = []
    for span in piece.spans:
        start, end = max(span.start, piece.start), min(span.end, piece.end)
        if span.kind != CODE_BLOCK:
            inner = text[start:end]
            end = start + len(inner.rstrip())
            start += len(inner) - len(inner.lstrip())
        if start < end:
            found.append((span, start, end))
    return sorted(found, key=lambda one: (one[1], -one[2]))


def _entity(span: Span, start: int, end: int) -> Entity:
    url = span.value if span.kind == "text_link" else None
    language = span.value or None if span.kind == CODE_BLOCK else None
    return Entity(span.kind, start, end - start, url, language)
