"""The text splitter: where long replies are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgctl.channels.text_splitter import split, utf16_units


def test_a_short_text_is_one_part() -> None:
    """A text that fits is unchanged, including its inner line breaks."""
    assert split("Um.\n\nDois.", 4096) == ["Um.\n\nDois."]


@pytest.mark.parametrize("blank", ["", "  ", "\n\t\n"])
def test_a_blank_text_has_no_parts(blank: str) -> None:
    """No provider accepts a blank text, so none is produced."""
    assert split(blank, 10) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("First one. More.\n\nSecond paragraph.", ["First one. More.", "Second paragraph."]),
        ("A line here\nanother line", ["A line here", "another line"]),
        ("One sentence. And two more words", ["One sentence.", "And two more words"]),
        ("words without any stops in it", ["words without any", "stops in it"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
    ],
)
def test_text_is_cut_at_the_best_pause(text: str, parts: list[str]) -> None:
    """A paragraph is preferred to a line, then a sentence, then a word, then a hard cut."""
    assert split(text, 20) == parts


def test_telegram_counts_utf16_units() -> None:
    """An emoji outside the basic plane counts as two units, and is never cut in half."""
    parts = split("😀" * 10, 7, utf16_units)
    assert parts == ["😀" * 3, "😀" * 3, "😀" * 3, "😀"]


def test_combined_characters_are_not_separated() -> None:
    """A hard cut does not separate an emoji from its skin tone."""
    assert split("aaaa👍🏽bb", 5)[0] == "aaaa"


@given(st.text(max_size=400), st.integers(4, 60), st.sampled_from([len, utf16_units]))
def test_nothing_but_white_space_is_lost(text: str, limit: int, measure: object) -> None:
    """Every part fits and is not blank, and together they hold every character except white space."""
    assert callable(measure)
    parts = split(text, limit, measure)
    assert all(part.strip() and measure(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
