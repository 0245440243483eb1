"""The mark-up that Telegram's Bot API accepts; https://core.telegram.org/bots/api#formatting-options."""

import re
from collections.abc import Mapping
from typing import Any

ENTITY_TYPES = frozenset(
    {
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
    }
    | {"text_link", "text_mention", "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number"}
    | {"custom_emoji"}
)
HTML_TAGS = frozenset(
    {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "a", "tg-emoji", "code"}
    | {"pre", "blockquote"}
)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)((?:\s[^<>]*)?)>|<|&(?!(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);)[a-z]+;")
_V2 = re.compile(
    r"\\[\x01-\x7e]|```[\s\S]*?```|`[^`]+`|(?P<link>\]\((?:[^\\)]|\\.)*\))|(?P<mark>__|\|\||[_*~\[])"
    r"|(?P<end>\])|(?P<reserved>[>#+=|{}.!()`-])"
)


def find_problem(fields: Mapping[str, Any]) -> str:
    """Return what Telegram says of the mark-up of a message, or an empty text."""
    text, mode = str(fields.get("text")), fields.get("parse_mode")
    if "entities" in fields and mode is None:
        return _find_entity_problem(text, fields["entities"])
    problem = ""
    if mode == "HTML":
        problem = _find_html_problem(text)
    elif mode == "MarkdownV2":
        problem = _find_markdown_v2_problem(text)
    elif mode == "Markdown" and (text.count("*") % 2 or text.count("_") % 2 or text.count("`") % 2):
        problem = "Can't find end of the entity"
    return f"can't parse entities: {problem}" if problem else ""


def _find_entity_problem(text: str, entities: object) -> str:
    if not isinstance(entities, list):
        return "can't parse entities JSON object"
    units = text.encode("utf-16-le")
    for entity in entities:
        kind, offset, length = (
            (entity.get(name) for name in ("type", "offset", "length")) if isinstance(entity, dict) else ("", 0, 0)
        )
        if kind not in ENTITY_TYPES or not isinstance(offset, int) or not isinstance(length, int):
            return "can't parse MessageEntity"
        if kind == "text_link" and not isinstance(entity.get("url"), str):
            return "can't parse MessageEntity: Can't find field \"url\""
        part = units[2 * offset : 2 * (offset + length)]
        if offset < 0 or length < 1 or len(part) != 2 * length or not _is_whole(part):
            return "ENTITY_BOUNDS_INVALID"
    return ""


def _is_whole(units: bytes) -> bool:
    """Return whether a stretch of UTF-16 begins and ends between characters."""
    try:
        units.decode("utf-16-le")
    except UnicodeDecodeError:
        return False
    return True


def _find_html_problem(text: str) -> str:
    opened: list[str] = []
    for found in _TAG.finditer(text):
        close, name = found[1], (found[2] or "").lower()
        if name not in HTML_TAGS:
            return f'Unsupported start tag "{name}"' if found[0].startswith("<") else ""
        if not close:
            opened.append(name)
        elif not opened or opened.pop() != name:
            return f'Unmatched end tag "{name}"'
    return f"Can't find end tag corresponding to start tag {opened[-1]}" if opened else ""


def _find_markdown_v2_problem(text: str) -> str:
    opened: list[str] = []
    for found in _V2.finditer(text):
        mark = found["mark"]
        if found["reserved"] or (found["end"] and "[" not in opened):
            return f"Character '{found[0]}' is reserved and must be escaped with the preceding '\\'"
        if mark and mark != "[" and mark in opened:
            if opened.pop() != mark:
                return f"Can't find end of {mark}"
        elif mark:
            opened.append(mark)
        elif (found["link"] or found["end"]) and (not opened or opened.pop() != "["):
            return "Can't find end of a link"
    return f"Can't find end of {opened[-1]}" if opened else ""
