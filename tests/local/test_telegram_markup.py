"""The stand-in of Telegram refuses the mark-up that Telegram refuses."""

from typing import Any

import pytest

from msgctl.local.fakes.telegram_markup import find_problem


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"text": "5 < 6 & **a**"}, ""),
        ({"text": "😀 né", "entities": [{"type": "bold", "offset": 3, "length": 2}]}, ""),
        ({"text": "😀 né", "entities": [{"type": "bold", "offset": 1, "length": 2}]}, "ENTITY_BOUNDS_INVALID"),
        ({"text": "a", "entities": [{"type": "bold", "offset": 0, "length": 2}]}, "ENTITY_BOUNDS_INVALID"),
        ({"text": "a", "entities": [{"type": "bold", "offset": 0, "length": 0}]}, "ENTITY_BOUNDS_INVALID"),
        ({"text": "a", "entities": [{"type": "loud", "offset": 0, "length": 1}]}, "MessageEntity"),
        ({"text": "a", "entities": [{"type": "text_link", "offset": 0, "length": 1}]}, "url"),
        ({"text": "a", "entities": "bold"}, "entities JSON"),
        ({"text": '<b>a <a href="x">b</a></b> &lt; &amp; R&D', "parse_mode": "HTML"}, ""),
        ({"text": "<b>a", "parse_mode": "HTML"}, "end tag"),
        ({"text": "a</b>", "parse_mode": "HTML"}, "end tag"),
        ({"text": "<b><i>a</b></i>", "parse_mode": "HTML"}, "end tag"),
        ({"text": "<div>a</div>", "parse_mode": "HTML"}, "Unsupported"),
        ({"text": "a < b", "parse_mode": "HTML"}, "Unsupported"),
        ({"text": "*a* _b __c__ _ \\. `x.y` [d](http://e.f)", "parse_mode": "MarkdownV2"}, ""),
        ({"text": "fim.", "parse_mode": "MarkdownV2"}, "reserved"),
        ({"text": "a [x] b", "parse_mode": "MarkdownV2"}, ""),
        ({"text": "a ] b", "parse_mode": "MarkdownV2"}, "reserved"),
        ({"text": "2*3 = 6", "parse_mode": "MarkdownV2"}, "reserved"),
        ({"text": "*a", "parse_mode": "MarkdownV2"}, "Can't find end"),
        ({"text": "*a _b* c_", "parse_mode": "MarkdownV2"}, "Can't find end"),
        ({"text": "*a", "parse_mode": "Markdown"}, "Can't find end"),
        ({"text": "*a* _b_ `c`", "parse_mode": "Markdown"}, ""),
    ],
)
def test_mark_up_is_judged(fields: dict[str, Any], problem: str) -> None:
    """Entities must lie within the text and between characters; tags and marks must balance."""
    found = find_problem(fields)
    assert problem in found
    assert bool(found) == bool(problem)
