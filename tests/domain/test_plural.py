"""Counts with their nouns and verbs."""

import pytest

from msgctl.domain.plural import pluralize


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 messages wait"), (1, "1 message waits"), (2, "2 messages wait")]
)
def test_count_agrees_with_its_verb(number: int, text: str) -> None:
    """Only the number 1 takes the singular."""
    assert pluralize(number, "message waits", "messages wait") == text
    assert pluralize(number, "worker") == f"{number} worker{'' if number == 1 else 's'}"
