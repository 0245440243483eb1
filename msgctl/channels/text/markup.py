"""Mark-up that a workflow wrote itself, read into styled text so that a cut does not tear it.

Each reader gives back the same text when its result is assembled uncut. Mark-up that does not balance is read as
text whose tags, entities and escapes are atoms.
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgctl.channels.text.styled import CODE_BLOCK, Span, Styled

MAX_DEPTH = 16
MAX_ATOM = 512
"""The longest tag that is kept whole where the mark-up does not balance."""
_HTML = re.compile(
    r"<(?P<close>/?)(?P<name>[a-zA-Z][\w-]*)(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*>|&(?:#\w{1,10}|\w{1,32});"
)
_TELEGRAM = re.compile(
    r"(?P<escape>\\[\x21-\x7e])|```(?P<language>[\w+#-]*\n)?(?P<block>(?:[^`\\]|\\.|`(?!``))*)```"
    r"|`(?P<code>(?:[^`\\\n]|\\.)+)`|(?P<mark>\|\||__|[*_~])|(?P<left>!?\[)|(?P<right>\]\((?:[^()\\\n]|\\.){1,2048}\))",
    re.DOTALL,
)
_WHATSAPP = re.compile(r"```(?P<block>[^`]+)```|`(?P<code>[^`\n]+)`|(?P<mark>[*_~])|(?P<end>\n)")
MARKS = {"*": "bold", "_": "italic", "~": "strikethrough", "__": "underline", "||": "spoiler"}
LEGACY = {"*": "bold", "_": "italic"}


ESCAPES: Mapping[str, Callable[[str], str]] = {
    "HTML": lambda text: html.escape(text, quote=False),
    "MarkdownV2": lambda text: re.sub(r"([_*\[\]()~`>#+\-=|{}.!\\])", r"\\\1", text),
    "Markdown": lambda text: re.sub(r"([_*`\[])", r"\\\1", text),
}
"""How a text is escaped, by Telegram's `parse_mode`."""


class _Torn(Exception):
    """The mark-up does not balance."""


@dataclass(slots=True)
class _Builder:
    """Takes the mark-up out of a source, and notes where it stood."""

    chunks: list[str] = field(default_factory=list)
    length: int = 0
    spans: list[Span] = field(default_factory=list)
    atoms: list[tuple[int, int]] = field(default_factory=list)
    stack: list[tuple[str, int, str, int]] = field(default_factory=list)
    shown: int = 0

    def write(self, text: str, *, atom: bool = False) -> None:
        if atom:
            self.atoms.append((self.length, self.length + len(text)))
        self.chunks.append(text)
        self.length += len(text)
        self.shown += bool(text.strip())

    def open(self, name: str, opening: str) -> None:
        if len(self.stack) == MAX_DEPTH:
            raise _Torn
        self.stack.append((name, self.length, opening, self.shown))

    def close(self, name: str, closing: str, kind: str = "") -> None:
        if not self.stack or self.stack[-1][0] != name:
            raise _Torn
        _, start, opening, shown = self.stack.pop()
        if shown == self.shown:  # nothing to show: kept as text, so that the source comes back
            raise _Torn
        self.spans.append(Span(start, self.length, kind, opening, closing))

    def styled(self) -> Styled:
        if self.stack:
            raise _Torn
        return Styled("".join(self.chunks), self.spans[::-1], self.atoms)


def read_html(source: str) -> Styled:
    """Read Telegram's HTML."""
    return _balanced(source, _HTML, _html)


def read_markdown_v2(source: str) -> Styled:
    """Read Telegram's MarkdownV2."""
    return _balanced(source, _TELEGRAM, lambda builder, found: _telegram(builder, found, MARKS))


def read_legacy_markdown(source: str) -> Styled:
    """Read Telegram's legacy Markdown."""
    return _balanced(source, _TELEGRAM, lambda builder, found: _telegram(builder, found, LEGACY))


def _balanced(source: str, pattern: re.Pattern[str], read: Callable[[_Builder, re.Match[str]], None]) -> Styled:
    builder, at = _Builder(), 0
    try:
        for found in pattern.finditer(source):
            builder.write(source[at : found.start()])
            read(builder, found)
            at = found.end()
        builder.write(source[at:])
        return builder.styled()
    except _Torn:
        return Styled(
            source, (), [found.span() for found in pattern.finditer(source) if 1 < len(found.group()) <= MAX_ATOM]
        )


def _html(builder: _Builder, found: re.Match[str]) -> None:
    tag = found.group()
    name = (found["name"] or "").lower()
    if not name:
        builder.write(tag, atom=True)
    elif found["close"]:
        builder.close(name, tag, CODE_BLOCK if name == "pre" else "")
    else:
        builder.open(name, tag)


def _telegram(builder: _Builder, found: re.Match[str], marks: dict[str, str]) -> None:
    text = found.group()
    if found["escape"]:
        builder.write(text, atom=True)
    elif found["block"] is not None:
        _code(builder, found["block"], f"```{found['language'] or ''}", "```", CODE_BLOCK)
    elif found["code"]:
        _code(builder, found["code"], "`", "`", "code")
    elif found["left"]:
        builder.open("[", text)
    elif found["right"]:
        builder.close("[", text)
    else:
        mark = found["mark"]
        if mark == "__" and mark not in marks:
            raise _Torn
        if mark not in marks:
            builder.write(mark)
        elif builder.stack and builder.stack[-1][0] == mark:
            builder.close(mark, mark, marks[mark])
        else:
            builder.open(mark, mark)


def _code(builder: _Builder, content: str, opening: str, closing: str, kind: str) -> None:
    builder.open(opening, opening)
    builder.write(content)
    builder.close(opening, closing, kind)


def read_whatsapp(source: str) -> Styled:
    """Read WhatsApp's mark-up: `*bold*`, `_italic_`, `~strikethrough~` in one line, code and code blocks.

    A mark that finds no partner is text.
    """
    opened: list[tuple[str, int]] = []
    taken: list[tuple[int, int, str, str]] = []  # the source between its marks, the mark, the kind
    for found in _WHATSAPP.finditer(source):
        mark, start, end = found["mark"], found.start(), found.end()
        partner = _partner(opened, mark)
        if found["end"]:
            opened.clear()
        elif not mark:
            block = found["block"] is not None
            width = 3 if block else 1
            if source[start + width : end - width].strip():
                taken.append((start + width, end - width, "`" * width, CODE_BLOCK if block else "code"))
        elif partner is not None and _may_close(source, start):
            if opened[partner][1] + 1 < start:
                taken.append((opened[partner][1] + 1, start, mark, MARKS[mark]))
            del opened[partner:]
        elif _may_open(source, start):
            if partner is not None:
                del opened[partner:]
            opened.append((mark, start))
    return _without_marks(source, taken)


def _partner(opened: list[tuple[str, int]], mark: str | None) -> int | None:
    return next((at for at, (one, _) in enumerate(opened) if one == mark), None)


def _may_open(source: str, at: int) -> bool:
    before, after = source[at - 1 : at] if at else "", source[at + 1 : at + 2]
    return bool(after) and not after.isspace() and not before.isalnum()


def _may_close(source: str, at: int) -> bool:
    before, after = source[at - 1 : at], source[at + 1 : at + 2]
    return not before.isspace() and not after.isalnum()


def _without_marks(source: str, taken: list[tuple[int, int, str, str]]) -> Styled:
    marks = sorted(
        {(at - len(mark), at) for at, _, mark, _ in taken} | {(to, to + len(mark)) for _, to, mark, _ in taken}
    )
    chunks, places, at, length = [], {}, 0, 0
    for start, end in marks:
        chunks.append(source[at:start])
        length += start - at
        places[start] = places[end] = length
        at = end
    chunks.append(source[at:])
    spans = [Span(places[start], places[end], kind, mark, mark) for start, end, mark, kind in reversed(taken)]
    spans.sort(key=lambda span: (span.start, -span.end))
    return Styled("".join(chunks), spans)
