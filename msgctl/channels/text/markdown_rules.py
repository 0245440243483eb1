"""The Markdown that models write, parsed by markdown-it-py, with rules that leave other text alone.

Stars and underscores are mark-up only where they hug words: not in `5 * 3`, `5*3*2`, `snake_case`, `__init__`,
`^_^`. CommonMark's own rules for them, which fail in scripts without spaces, are replaced.
Lists, quotes, rules, HTML, entities, reference links and indented code stay as they are written.
"""

import re
from collections.abc import Sequence

import regex
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, fence
from markdown_it.rules_inline import StateInline, autolink, backtick
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

_ADDRESS = re.compile(
    r"(?:https?|tg|ftp)://\S|mailto:\S|tel:\S|www\.\S|[\w-]+(?:\.[\w-]+)+(?:[/?#:]\S*)?\Z", re.IGNORECASE
)
_SPACED_WORD = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}_]")
"""A character of a script that puts spaces between words."""
_IDENTIFIER = re.compile(r"__[a-z][a-z0-9_]*?__(?![*_\w])")
_PATH = re.compile(r"[\"'(]?(?:[A-Za-z]:|\\)\\")
"""The beginning of a path of Windows."""
_OPENING = regex.compile(r"[\s\p{Ps}\p{Pi}\"'*_~—¿¡]")
_CLOSING = regex.compile(r"[\s\p{Pe}\p{Pf}\"'*_~—–.,;:!?…/\p{Sentence_Terminal}\p{So}-]")  # noqa: RUF001 - the dash is meant
_FIRST = regex.compile(r"[\p{L}\p{N}\p{Ps}\p{Pi}\p{Sc}\p{So}\"'*_~`#@+¿¡]")
_LEFT_BRACKET = regex.compile(r"[\p{Ps}\p{Pi}]")


class ModelMarkdown(MarkdownIt):
    """The parser: blocks that matter (headings, fences, tables), and inline mark-up apart from them."""

    def __init__(self) -> None:
        super().__init__("zero", {"maxNesting": 20})
        self.enable(["heading", "fence", "table"])
        self.disable(["inline", "text_join"])
        self.enable(["emphasis", "strikethrough", "backticks", "link", "image", "autolink", "escape", "newline"])
        self.block.ruler.at("fence", _fence, {"alt": ["paragraph"]})
        self.inline.ruler.at("emphasis", _emphasis)
        self.inline.ruler.at("escape", _escape)
        self.inline.ruler.at("newline", _newline)
        self.inline.ruler.at("backticks", _backticks)
        self.inline.ruler.at("autolink", _autolink)

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the parser's own name
        """Carry a URL as it is written."""
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802 - the parser's own name
        """Carry the text of an autolink as it is written."""
        return link

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the parser's own name
        """Whether a link's target is an address; `array[0](x)` is none."""
        return _ADDRESS.match(url) is not None

    def blocks(self, text: str) -> list[Token]:
        """The blocks of a text; their inline content is not parsed."""
        return self.parse(text)

    def spans(self, text: str) -> Sequence[Token]:
        """The inline tokens of one paragraph, cell or heading."""
        tokens: list[Token] = []
        self.inline.parse(text, self, {}, tokens)
        return tokens


def _fence(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """A fence of backticks; a line of tildes is none."""
    at = state.bMarks[start_line] + state.tShift[start_line]
    return state.src[at : at + 1] == "`" and fence(state, start_line, end_line, silent)


def _emphasis(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    marker, start = state.src[state.pos], state.pos
    if silent or marker not in "*_":
        return False
    identifier = _IDENTIFIER.match(state.src, start)
    if identifier:
        state.pending += identifier.group()
        state.pos = identifier.end()
        return True
    end = start
    while end < state.posMax and state.src[end] == marker:
        end += 1
    opens, closes = _flanks(marker, end - start, state.src[start - 1 : start], state.src[end : end + 1])
    for _ in range(end - start):
        state.push("text", "", 0).content = marker
        state.delimiters.append(Delimiter(ord(marker), end - start, len(state.tokens) - 1, -1, opens, closes))
    state.pos = end
    return True


def _flanks(marker: str, length: int, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of markers may open emphasis, and whether it may close it."""
    opens = bool(after) and not after.isspace() and before != "\\"
    closes = bool(before) and not before.isspace() and not _LEFT_BRACKET.match(before)
    if marker == "_":
        opens &= not before.isalnum()
        closes &= not after.isalnum()
    opens &= not _SPACED_WORD.match(before)
    label = length > 1 and after.isalpha() and not before.isalnum()  # `**Nota:**texto`
    closes &= label or not _SPACED_WORD.match(after)
    if length == 1 or marker == "_":
        opens &= not before or before.isalpha() or bool(_OPENING.match(before))
        opens &= bool(_FIRST.match(after))
        closes &= not after or after.isalpha() or bool(_CLOSING.match(after))
    return opens, closes


def _escape(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    r"""Take `\*` for a star; before anything else, in `C:\_docs` and in `¯\_(ツ)_/¯` a backslash is itself."""
    start = state.pos
    if state.src[start] != "\\" or state.src[start + 1 : start + 2] not in {"*", "_", "~", "`"}:
        return False
    word = state.src[max(0, start - 200) : start].rpartition("\n")[2].rpartition(" ")[2]
    if word.endswith("¯") or _PATH.match(word + "\\"):
        return False
    if not silent:
        token = state.push("text_special", "", 0)
        token.content = state.src[start + 1]
        token.markup = state.src[start : start + 2]
    state.pos = start + 2
    return True


def _newline(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """Keep the indentation of the next line."""
    if state.src[state.pos] != "\n":
        return False
    if not silent:
        state.pending = state.pending.rstrip(" ")
        state.push("softbreak", "br", 0)
    state.pos += 1
    return True


def _backticks(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """Code between backticks; one inside a word is an apostrophe."""
    start = state.pos
    if state.src[start] != "`":
        return False
    end = start
    while end < state.posMax and state.src[end] == "`":
        end += 1
    if end - start == 1 and _SPACED_WORD.match(state.src[start - 1 : start]):
        if not silent:
            state.pending += "`"
        state.pos = end
        return True
    return backtick(state, silent)


def _autolink(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    """Take `<https://…>` for a link; an e-mail address in angle brackets stays as it is."""
    return state.src.startswith(("<http://", "<https://"), state.pos) and autolink(state, silent)
