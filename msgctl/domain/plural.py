"""Counts with their nouns in the singular or plural."""


def pluralize(number: int, one: str, many: str = "") -> str:
    """Return `1 worker` or `2 workers`, `1 message waits` or `2 messages wait`.

    Args:
        number: the count.
        one: the words for a count of one.
        many: the words for any other count. Empty: `one` with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
