"""Markdown as models write it, read into styled text. What is not Markdown comes out as it went in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import regex
from markdown_it.token import Token

from msgctl.channels.text.markdown_rules import ModelMarkdown
from msgctl.channels.text.styled import CODE_BLOCK, ENTITY_KINDS, Span, Styled

INLINE_LIMIT = 8000
"""The characters of a paragraph beyond which its mark-up stays as it is: the parser may take quadratic time."""
KINDS = {"strong": "bold", "em": "italic", "s": "strikethrough", "link": "text_link"}
CLEAR = re.compile(
    r"\*\*[^\s*]|^ {0,3}#{1,6} \S|\]\(|^[ \t]*```|~~[^\s~]|^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|", re.MULTILINE
)
"""What only Markdown has: where none of it stands, `*word*` is WhatsApp's bold as likely as Markdown's italic."""
_ITEM = re.compile(r"[ \t]*(?:>[ \t]?)*(?:[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?:#{1,6}[ \t]+(?=\S))?)?")
_STARS = re.compile(r"^[ \t]*\*[ \t]+\S", re.MULTILINE)
_WORD = regex.compile(r"[\p{L}\p{N}\p{So}\p{Sc}]")
_BREAK = re.compile(r"[ \t]*<br[ \t]*/?>[ \t]*", re.IGNORECASE)
_SCHEME = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
_WEB = re.compile(r"https?://|tg://|www\.|(?!mailto:|tel:)[\w-]+\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MarkdownReading:
    """How Markdown is read for a channel.

    Args:
        links: whether the channel has links behind a text; elsewhere the URL stands behind it in brackets.
        single_stars: whether `*word*` is italic even in a text that shows no other Markdown.
    """

    links: bool = True
    single_stars: bool = True


def read_markdown(text: str, reading: MarkdownReading = MarkdownReading()) -> Styled:
    r"""Read Markdown into styled text.

    Args:
        text: a reply, its line ends `\n` as `clean_text` leaves them.
        reading: what the channel has.
    """
    if not any(mark in text for mark in "*_`~#[|<\\"):
        return Styled(text)
    return _Reader(text, reading).read()


@dataclass(slots=True)
class _Writer:
    """Collects text and spans; a style that holds no word is written back as it was."""

    chunks: list[str] = field(default_factory=list)
    length: int = 0
    words: int = 0
    spans: list[Span] = field(default_factory=list)
    _open: list[tuple[str, str, str, int, int, int, int]] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.chunks.append(text)
        self.length += len(text)
        self.words += _WORD.search(text) is not None

    def open(self, kind: str, markup: str = "", value: str = "") -> None:
        self._open.append((kind, markup, value, self.length, self.words, len(self.chunks), len(self.spans)))
        self.chunks.append("")

    def close(self) -> tuple[str, str]:
        """Close the last style that was opened; its text and its value. One inside its like adds nothing."""
        kind, markup, value, start, words, slot, spans = self._open.pop()
        if words == self.words and markup:
            del self.spans[spans:]
            self.chunks[slot] = markup
            self.length += len(markup)
            self.write(markup)
        elif self.length > start and kind in ENTITY_KINDS and not any(one[0] == kind for one in self._open):
            self.spans.append(Span(start, self.length, kind, value=value))
        return "".join(self.chunks[slot:]), value

    def styled(self) -> Styled:
        order = self.spans[::-1]  # of two that are alike, the outer one closed last
        order.sort(key=lambda span: (span.start, -span.end))
        return Styled("".join(self.chunks), tuple(order))


@cache
def _parser() -> ModelMarkdown:
    parser = ModelMarkdown()
    parser.blocks("")  # its tables of rules are built now, because several threads may share them
    parser.spans("")
    return parser


def _prefix(line: str) -> str:
    """The marks of a quote, a list item and a heading before the words of a line."""
    found = _ITEM.match(line)
    return found.group() if found else ""


class _Reader:
    """Reads one text."""

    def __init__(self, text: str, reading: MarkdownReading) -> None:
        self._parser = _parser()
        self._text = text
        self._lines = text.split("\n")
        self._links = reading.links
        self._single_stars = reading.single_stars or CLEAR.search(text) is not None
        self._bullets = len(_STARS.findall(text)) > 1
        self._writer = _Writer()

    def read(self) -> Styled:
        tokens = self._parser.blocks(self._text)
        at = 0
        for index, token in enumerate(tokens):
            if token.level or token.map is None or token.nesting < 0:
                continue
            start, end = token.map
            self._verbatim(at, start)
            self._block(token, tokens, index, start, end)
            at = end
            if at < len(self._lines):
                self._writer.write("\n")
        self._verbatim(at, len(self._lines), last=True)
        return self._writer.styled()

    def _verbatim(self, start: int, end: int, *, last: bool = False) -> None:
        if start < end:
            self._writer.write("\n".join(self._lines[start:end]) + ("" if last else "\n"))

    def _block(self, token: Token, tokens: Sequence[Token], index: int, start: int, end: int) -> None:
        if token.type == "fence":
            self._code(CODE_BLOCK, token.content.removesuffix("\n"), token.info.strip().split(" ")[0])
        elif token.type == "heading_open" and tokens[index + 1].content:
            self._heading(tokens[index + 1].content)
        elif token.type == "table_open":
            self._table(tokens, index)
        else:
            for first, last in pairwise(self._items(start, end)):
                self._paragraph(self._lines[first:last], more=last < end)

    def _items(self, start: int, end: int) -> list[int]:
        """Where the list items and quoted lines of a paragraph begin, and its end."""
        later = [at for at in range(start + 1, end) if _prefix(self._lines[at]).strip()]
        return [start, *later, end]

    def _paragraph(self, lines: Sequence[str], *, more: bool) -> None:
        prefix = _prefix(lines[0])
        content = "\n".join([lines[0][len(prefix) :], *lines[1:]])
        heading = prefix.rstrip().endswith("#")
        tokens = self._parser.spans(content) if len(content) <= INLINE_LIMIT else ()
        if heading:
            prefix = prefix.rstrip(" \t").rstrip("#")
        if self._bullets and prefix.strip() == "*":
            prefix = prefix.replace("*", "•")
        self._writer.write(prefix)
        if heading:
            self._heading(content)
        elif all(token.type in {"text", "softbreak"} for token in tokens):
            self._writer.write(content)
        else:
            self._inline(tokens)
        if more:
            self._writer.write("\n")

    def _heading(self, content: str) -> None:
        self._writer.open("bold")
        if len(content) <= INLINE_LIMIT:
            self._inline(self._parser.spans(content))
        else:
            self._writer.write(content)
        self._writer.close()

    def _inline(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            name = token.type.partition("_")[0]
            if token.type in {"softbreak", "hardbreak"}:
                self._writer.write("\n")
            elif token.type == "code_inline":
                self._code("code", token.content)
            elif token.type == "image":
                self._link(str(token.attrs.get("src", "")))
                self._writer.write(token.content)
                self._close_link()
            elif token.nesting > 0:
                self._open(name, token)
            elif token.nesting < 0:
                self._close(name, token)
            else:
                self._writer.write(token.content)

    def _open(self, name: str, token: Token) -> None:
        if name == "link":
            self._link(str(token.attrs.get("href", "")))
        elif self._plain_star(token):
            self._writer.write("*")
        else:
            self._writer.open(KINDS[name], token.markup)

    def _close(self, name: str, token: Token) -> None:
        if name == "link":
            self._close_link()
        elif self._plain_star(token):
            self._writer.write("*")
        else:
            self._writer.close()

    def _plain_star(self, token: Token) -> bool:
        return token.markup == "*" and not self._single_stars

    def _link(self, url: str) -> None:
        self._writer.open("text_link" if self._links and _WEB.match(url) else "address", "", url)

    def _close_link(self) -> None:
        text, url = self._writer.close()
        if self._links and _WEB.match(url):
            if not text:
                self._writer.write(url)
            return
        bare = url if _WEB.match(url) else _SCHEME.sub("", url)
        if not text.strip():
            self._writer.write(bare)
        elif _SCHEME.sub("", text.strip()).rstrip("/") != _SCHEME.sub("", url).rstrip("/"):
            self._writer.write(f" ({bare})")

    def _code(self, kind: str, content: str, language: str = "") -> None:
        self._writer.open(kind, "", language)
        self._writer.write(content)
        self._writer.close()

    def _table(self, tokens: Sequence[Token], index: int) -> None:
        """Write a table as lines: `first: second` of two columns, else a block of `header: cell` a row."""
        rows: list[list[str]] = []
        while tokens[index].type != "table_close":
            if tokens[index].type == "tr_open":
                rows.append([])
            elif tokens[index].type == "inline":
                rows[-1].append(_BREAK.sub(" / ", tokens[index].content.strip()))
            index += 1
        header, *body = rows
        if len(header) <= 2:
            self._heading(": ".join(cell for cell in header if cell))
        for number, row in enumerate(body):
            if number or len(header) <= 2:
                self._writer.write("\n")
            if len(header) <= 2:
                self._cells(": ".join(cell for cell in row if cell))
            else:
                self._row(header, row, first=not number)

    def _row(self, header: Sequence[str], row: Sequence[str], *, first: bool) -> None:
        if not first:
            self._writer.write("\n")
        self._heading(row[0])
        for name, cell in zip(header[1:], row[1:], strict=False):
            if cell:
                self._writer.write("\n")
                self._cells(f"{name}: {cell}" if name else cell)

    def _cells(self, content: str) -> None:
        if len(content) <= INLINE_LIMIT:
            self._inline(self._parser.spans(content))
        else:
            self._writer.write(content)
