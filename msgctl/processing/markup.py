"""Tell a page of HTML or XML from a text that has some mark-up in it. Pure."""

import re

_PAGE = re.compile(r"\s*(?:<\?xml\b|<!doctype\b|<(?:html|head|body|title|meta)\b)", re.IGNORECASE)
_COMMENT = re.compile(r"\s*<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"\s*<([a-z][\w:-]*)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_INLINE = frozenset(
    {
        "a",
        "b",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "i",
        "ins",
        "pre",
        "s",
        "span",
        "strike",
        "strong",
        "tg-emoji",
    }
    | {"tg-spoiler", "u"}
)
"""Tags that a message may begin with: those that Telegram renders."""
_MOST_COMMENTS = 20


def is_page(text: str) -> bool:
    """Whether a text is a whole document of HTML or XML."""
    return bool(_PAGE.match(text, _skip_comments(text)))


def is_markup(body: str) -> bool:
    """Whether a body is HTML or XML and not a text: a document, or one element around all of it."""
    position = _skip_comments(body)
    if _PAGE.match(body, position):
        return True
    tag = _TAG.match(body, position)
    return tag is not None and tag[1].lower() not in _INLINE and body.rstrip().endswith(">")


def find_title(body: str) -> str:
    """The words of a page's title and first heading, in one line."""
    found = re.findall(r"<(title|h1|h2)\b[^<>]{0,200}>([^<]{1,200})", body[:20_000], re.IGNORECASE)
    return " ".join(" ".join(words.split()) for _tag, words in found[:3])


def _skip_comments(text: str) -> int:
    position = 0
    for _ in range(_MOST_COMMENTS):
        comment = _COMMENT.match(text, position)
        if not comment:
            break
        position = comment.end()
    return position
