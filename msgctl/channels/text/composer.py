"""What a channel is sent of a reply: its Markdown rendered, its parts no longer than the provider takes."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from msgctl.channels.text.markdown import MarkdownReading, read_markdown
from msgctl.channels.text.markup import ESCAPES, read_html, read_legacy_markdown, read_markdown_v2, read_whatsapp
from msgctl.channels.text.splitter import CLOSING, Overflow, split_styled
from msgctl.channels.text.styled import CODE_BLOCK, Span, Styled, TextPart
from msgctl.channels.text.units import Measure, utf16_units
from msgctl.domain.messages import ReplyFormat
from msgctl.domain.visible_text import clean_text, is_visible, repair_text

MAX_PARTS = 10
MARKUPS: Mapping[str, Callable[[str], Styled]] = {
    "HTML": read_html,
    "MarkdownV2": read_markdown_v2,
    "Markdown": read_legacy_markdown,
    "WhatsApp": read_whatsapp,
}
"""The readers of mark-up that a workflow wrote itself, by Telegram's `parse_mode` or the channel's name."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a channel understands.

    Args:
        limit: the units of a text, None where there is no limit.
        measure: the unit.
        marks: the mark-up before and behind each kind of span.
        entities: whether styles go beside the text.
        native: the mark-up that the channel reads in the text itself.
        single_stars: whether `*word*` alone is Markdown.
        max_spans: the most spans of one part.
    """

    limit: int | None
    measure: Measure = utf16_units
    marks: Mapping[str, str] = field(default_factory=dict)
    entities: bool = False
    native: str = ""
    single_stars: bool = True
    max_spans: int | None = None


_WHATSAPP_MARKS = {"bold": "*", "italic": "_", "strikethrough": "~", "code": "`", CODE_BLOCK: "```"}
TELEGRAM = Dialect(4096, entities=True, max_spans=100)
WHATSAPP = Dialect(4096, marks=_WHATSAPP_MARKS, native="WhatsApp", single_stars=False)
WHATSAPP_TWILIO = replace(WHATSAPP, limit=1600)
SMS = Dialect(1600, marks={"strikethrough": "~~"})
UNTOUCHED = Dialect(None)
"""The web and the API: their clients render Markdown themselves."""


def compose(
    text: str,
    dialect: Dialect,
    *,
    format: ReplyFormat = "auto",  # noqa: A002 - the setting's name
    markup: str = "",
    max_parts: int | None = MAX_PARTS,
    overflow: Overflow = "cut",
    closing: str = CLOSING,
) -> list[TextPart]:
    """Make the messages of a reply.

    Args:
        text: the reply as the agent wrote it.
        dialect: what the channel understands.
        format: what to do with Markdown.
        markup: the mark-up the workflow declared, a key of `MARKUPS`; the text is then sent as it is.
        max_parts: the most parts to make, None for any number.
        overflow: whether a longer reply is cut off or refused.
        closing: the word behind a reply that was cut off.

    Returns:
        The parts in order; none at all if there is nothing to see.

    Raises:
        ReplyTooLong: the reply needs more parts and `overflow` is `refuse`.
    """
    text, closing = repair_text(text), clean_text(closing)
    if not is_visible(text):
        return []
    if dialect.limit is None:
        return [TextPart(text)]
    text = clean_text(text)
    most = None if max_parts is None else max_parts * dialect.limit
    styled = _styled(text, dialect, "as-is" if markup else format, markup, most)
    return split_styled(
        styled,
        dialect.limit,
        dialect.measure,
        max_parts=max_parts,
        overflow=overflow,
        closing=ESCAPES[markup](closing) if markup in ESCAPES else closing,
        max_spans=dialect.max_spans,
    )


def _styled(text: str, dialect: Dialect, chosen: ReplyFormat, markup: str, most: int | None) -> Styled:
    if chosen == "as-is":
        read = MARKUPS.get(markup or dialect.native)
        return read(text) if read else Styled(text)
    plain = chosen == "plain"
    reading = MarkdownReading(links=dialect.entities and not plain, single_stars=dialect.single_stars or plain)
    head, tail = _bounded(text, most)
    styled = read_markdown(head, reading)
    if plain:
        styled = dress(styled, SMS.marks)
    elif dialect.entities:
        styled = apart_from_code(styled)
    else:
        untouched = styled.text == head and not styled.spans
        native = MARKUPS.get(dialect.native)
        styled = native(head) if untouched and native else dress(styled, dialect.marks)
    return replace(styled, text=styled.text + tail) if tail else styled


def _bounded(text: str, most: int | None) -> tuple[str, str]:
    """The beginning that can be sent at all, whose Markdown is worth reading, and the rest."""
    if most is None or len(text) <= 2 * most:
        return text, ""
    at = text.rfind("\n", 0, 2 * most) + 1 or 2 * most
    return text[:at], text[at:]


def apart_from_code(styled: Styled) -> Styled:
    """Take code out of every other style, as Telegram asks; code in a link is the link's text."""
    links = [span for span in styled.spans if span.kind == "text_link"]
    starts = [link.start for link in links]

    def in_link(span: Span) -> bool:
        link = bisect_right(starts, span.start) - 1
        return link >= 0 and span.end <= links[link].end

    codes = [span for span in styled.spans if span.kind in {"code", CODE_BLOCK} and not in_link(span)]
    ends = [code.end for code in codes]
    spans = [*links, *codes]
    for span in styled.spans:
        if span.kind not in {"text_link", "code", CODE_BLOCK}:
            at, index = span.start, bisect_right(ends, span.start)
            while index < len(codes) and codes[index].start < span.end:
                spans.append(replace(span, start=at, end=codes[index].start))
                at, index = codes[index].end, index + 1
            spans.append(replace(span, start=at))
    shown = [span for span in spans if span.start < span.end]
    return replace(styled, spans=sorted(shown, key=lambda span: (span.start, -span.end)))


def dress(styled: Styled, marks: Mapping[str, str]) -> Styled:
    """Give each span the channel's own mark-up; a kind that the channel lacks is plain text.

    WhatsApp styles one line at a time, so a span over several lines becomes one a line.
    """
    spans: list[Span] = []
    open_spans: list[Span] = []
    for span in styled.spans:
        open_spans = [one for one in open_spans if one.end > span.start]
        nested = any(one.kind == span.kind for one in open_spans)
        open_spans.append(span)
        mark = marks.get(span.kind)
        if mark is not None and not nested:
            spans.extend(
                replace(line, opening=mark, closing=mark)
                for line in _lines(styled.text, span)
                if mark not in styled.text[line.start : line.end]
            )
    return replace(styled, spans=sorted(spans, key=lambda span: (span.start, -span.end)))


def _lines(text: str, span: Span) -> Iterator[Span]:
    if span.kind == CODE_BLOCK:
        yield span
        return
    at = span.start
    for line in text[span.start : span.end].split("\n"):
        if line.strip():
            yield replace(span, start=at, end=at + len(line))
        at += len(line) + 1
