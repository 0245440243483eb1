"""What of a customer's text reaches the agent."""

import pytest

from msgctl.channels.inbound import MAX_TEXT_CHARS, sanitize_text


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Oi", "Oi"),
        ("a\0b", "ab"),
        ("Tudo certo \ud83d", "Tudo certo \ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\u200bOi", "\u200bOi"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("x" * (MAX_TEXT_CHARS + 1), "x" * MAX_TEXT_CHARS),
        ("\u200b\u2060\ufeff", ""),
        ("\u2800", ""),
        (" \n\u3164", ""),
        ("\0", ""),
        (None, ""),
        ({"body": "Oi"}, ""),
    ],
)
def test_text_that_shows_something_is_taken(text: object, taken: str) -> None:
    """NUL and half characters never reach a workflow, and a text that shows nothing is no text."""
    assert sanitize_text(text) == taken
