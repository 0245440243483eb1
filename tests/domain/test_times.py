"""Durations, as people write them and as they are shown to them."""

import pytest

from msgctl.domain.errors import InvalidInput
from msgctl.domain.times import format_duration, parse_duration
from msgctl.operations.messages.query import parse_query


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1h30m", 5400),
        ("1d12h", 129_600),
        ("0.5s", 0.5),
        ("7", 7),
        ("0.5", 0.5),
        (".5", 0.5),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """A number and its unit, one after the other; without a unit it is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "7y", "-1h", "1h 30m", "1.2.3s", "1.2.3", ".", "5%", "1h30"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    """No unit but ours, no sign, no blank."""
    with pytest.raises(InvalidInput, match=r"is not a duration\. Write 90 or 90s"):
        parse_duration(text)


def test_the_dashboards_filter_reads_the_same_durations() -> None:
    """Several units in a row, and the same refusal."""
    assert parse_query("since:1h30m").since == 5400
    with pytest.raises(InvalidInput, match="is not a duration"):
        parse_query("since:yesterday")


def test_durations_are_shown_in_the_largest_unit_that_fits() -> None:
    """Up to days; a dash for what is not known."""
    shown = [format_duration(seconds) for seconds in (None, 5, 90, 180, 7200, 90_000, 1_209_600)]
    assert shown == ["-", "5s", "2m", "3m", "2h", "1d", "14d"]
