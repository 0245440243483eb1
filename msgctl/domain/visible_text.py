"""Which text a reader can see, and which characters nobody accepts. Pure."""

import regex

_CONTROL = regex.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_VISIBLE = regex.compile(
    r"""(?x)
    \p{Prepended_Concatenation_Mark}                # format characters with a glyph, e.g. the Arabic number sign
    | [^\p{Default_Ignorable_Code_Point}\p{White_Space}\p{Cc}\p{Cf}\p{Cs}
       \u2800\U0001d159]                            # blank Braille, the null note head
    """
)


def is_visible(text: str, start: int = 0, end: int | None = None) -> bool:
    """Whether a text, or a stretch of it, holds anything that a reader can see."""
    return _VISIBLE.search(text, start, len(text) if end is None else end) is not None


def find_visible(text: str, start: int = 0) -> int:
    """Return the index of the first character that a reader can see, or the length of the text."""
    found = _VISIBLE.search(text, start)
    return found.start() if found else len(text)


def repair_text(text: str) -> str:
    """Make a text fit for JSON and UTF-8 and change nothing else.

    The halves of a surrogate pair are joined, a lone half becomes U+FFFD, and NUL is removed.
    """
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")


def clean_text(text: str) -> str:
    r"""Make a text safe for every channel without changing what a reader sees.

    Line ends become `\n`, control characters (NUL among them) are removed, and a lone surrogate becomes U+FFFD.
    """
    text = repair_text(text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)
