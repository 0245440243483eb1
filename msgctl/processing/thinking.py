"""Take a model's thinking off the beginning of its reply. Pure."""

import re
from functools import lru_cache

from msgctl.domain.visible_text import find_visible

_TAGS = (
    r"think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|seed:think|ant_?thinking|(?:chain|begin)_of_thought|"
    r"inner_monologue"
)
_TAG_OPEN = re.compile(rf"(?:<|&lt;)\|?({_TAGS})\b[^<>&]{{0,200}}?(/?)(?:>|&gt;)", re.IGNORECASE)
_OTHER_OPEN = re.compile(
    r"(?P<kimi>◁think▷)|(?P<mistral>\[THINK\])|(?P<details><details\b[^<>]{0,200}type=.?reasoning[^<>]{0,200}>)"
    r"|(?P<final>(?:<\|start\|>assistant)?<\|channel\|>final[^<>]{0,80}<\|message\|>)"
    r"|(?P<harmony>(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)[^<>]{0,80}<\|message\|>)"
)
_OTHER_ENDS = {
    "kimi": re.compile(r"◁think▷|(?P<close>◁/think▷)"),
    "mistral": re.compile(r"\[THINK\]|(?P<close>\[/THINK\])"),
    "details": re.compile(r"<details\b|(?P<close></details>)", re.IGNORECASE),
    "harmony": re.compile(r"(?P<close>(?:<\|start\|>assistant)?<\|channel\|>final[^<>]{0,80}<\|message\|>)"),
}
_ORPHAN = re.compile(rf"</(?:{_TAGS})>[ \t]*(?=\r?\n[ \t]*\r?\n|\r?\n?\Z)|(?<=\n)</(?:{_TAGS})>[ \t]*(?=\r?\n)")
_HARMONY_END = re.compile(r"<\|(?:return|end)\|>\s*\Z")
_MARKS = "<&◁["
"""What thinking can begin with; a text that begins otherwise is not searched."""


def strip_thinking(text: str) -> str:
    """Take a model's thinking off the beginning of a text.

    Thinking that never ends takes the whole text with it. A tag anywhere but at the beginning is the reply's own.
    A closing tag that was never opened counts where a blank line follows it or it stands on a line of its own:
    some models are started inside their thinking.
    """
    begin = position = _find_orphan(text)
    while (position := find_visible(text, position)) < len(text) and text[position] in _MARKS:
        end = _find_end(text, position)
        if end is None:
            break
        begin = position = end
    return _HARMONY_END.sub("", text[begin:].lstrip()) if begin else text


def _find_end(text: str, position: int) -> int | None:
    """Where the thinking that begins at `position` ends; None where there is none."""
    if tag := _TAG_OPEN.match(text, position):
        if tag[2]:
            return tag.end()
        return _balance(_tag_ends(tag[1].lower()), text, tag.end())
    if other := _OTHER_OPEN.match(text, position):
        if other.lastgroup == "final":
            return other.end()
        return _balance(_OTHER_ENDS[other.lastgroup or ""], text, other.end())
    return None


@lru_cache(maxsize=32)
def _tag_ends(tag: str) -> re.Pattern[str]:
    """A pattern for a tag opened again or closed; `end_of_` closes `begin_of_`."""
    closing = re.escape(tag.replace("begin_of", "end_of"))
    slash = "" if closing != re.escape(tag) else "/"
    return re.compile(
        rf"(?P<close>(?:<|&lt;)\|?{slash}{closing}\s{{0,9}}\|?(?:>|&gt;))|(?:<|&lt;)\|?{re.escape(tag)}\b",
        re.IGNORECASE,
    )


def _balance(ends: re.Pattern[str], text: str, position: int) -> int:
    """Where as many blocks are closed as were opened; without that, behind the last that closes, else the end."""
    depth, last = 1, len(text)
    for mark in ends.finditer(text, position):
        if mark.lastgroup == "close":
            depth, last = depth - 1, mark.end()
            if not depth:
                break
        else:
            depth += 1
    return last


def _find_orphan(text: str) -> int:
    """Where a closing tag without an opening one ends; 0 where there is none."""
    if "</" not in text:
        return 0
    closing = _ORPHAN.search(text)
    if not closing or _TAG_OPEN.search(text, 0, closing.start()):
        return 0
    return closing.end()
