"""Counts in words."""


def pluralize(number: int, one: str, many: str = "") -> str:
    """`1 worker`, `2 workers`; `1 message waits`, `2 messages wait`.

    Args:
        number: how many.
        one: what is said of one of them.
        many: of any other number; empty: the same with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
