"""A source that runs ahead of its reader, as walks over Redis do."""

from collections.abc import AsyncGenerator

import pytest

from msgctl.aio import prefetch

LEFT = -1


async def numbers(count: int, done: list[int], *, breaks: bool = False) -> AsyncGenerator[int]:
    """Counts up, notes how far it came and that it was left, and may break at the end."""
    try:
        for number in range(count):
            done.append(number)
            yield number
    finally:
        done.append(LEFT)
    if breaks:
        raise ConnectionError("gone")


async def test_everything_arrives_in_order() -> None:
    """Nothing is lost or doubled by running ahead."""
    async with prefetch(numbers(50, [])) as items:
        assert [item async for item in items] == list(range(50))


async def test_what_breaks_the_source_reaches_the_reader() -> None:
    """After all that came before it."""
    async with prefetch(numbers(3, [], breaks=True)) as items:
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ConnectionError, match="gone"):
            await anext(items)


async def test_a_reader_who_leaves_ends_the_source() -> None:
    """It is never further ahead than it may be, and stops when nobody reads."""
    done: list[int] = []
    async with prefetch(numbers(1000, done), max_items=2) as items:
        async for item in items:
            if item == 5:
                break
    assert len(done) <= 5 + 2 + 4
    assert done[-1] == LEFT
