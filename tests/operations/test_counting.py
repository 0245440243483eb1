"""Counts in words."""

import pytest

from msgctl.domain.plural import pluralize


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 messages wait"), (1, "1 message waits"), (2, "2 messages wait")]
)
def test_a_count_agrees_with_its_verb(number: int, said: str) -> None:
    """One alone is said of one."""
    assert pluralize(number, "message waits", "messages wait") == said
    assert pluralize(number, "worker") == f"{number} worker{'' if number == 1 else 's'}"
