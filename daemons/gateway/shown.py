"""What one socket has shown to its client: replies come in order, so a few numbers tell of thousands."""

from typing import Any

Key = tuple[str, str | int]
"""A conversation and a number in it, or two texts that together stand for something without a number."""


class Shown:
    """A memory of replies, each of which is to be shown once.

    Args:
        limit: conversations, and things out of order or without a number, that are remembered at least.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._had: dict[str, int] = {}
        """By conversation: up to which number the client has all, wherever from."""
        self._runs: dict[str, tuple[int, int]] = {}
        """By conversation: first and last of the numbers that were shown one after the other."""
        self._others: dict[Key, None] = {}  # a set that knows its oldest member

    def __len__(self) -> int:
        """How many entries it takes."""
        return len(self._had) + len(self._runs) + len(self._others)

    def add(self, key: Key) -> bool:
        """Whether this has not been shown yet; from now on it has."""
        conversation, number = key
        if key in self._others or (isinstance(number, int) and self._is_known(conversation, number)):
            return False
        if isinstance(number, int) and self._continues(conversation, number):
            first, _ = self._runs.get(conversation, (number, number))
            _put(self._runs, conversation, (first, self._last_behind(conversation, number)), self._limit)
        else:
            _put(self._others, key, None, self._limit)
        return True

    def skip(self, conversation: str, number: int) -> None:
        """The client has everything of a conversation up to here, perhaps from another socket."""
        self._had.pop(conversation, None)
        _put(self._had, conversation, number, self._limit)

    def _is_known(self, conversation: str, number: int) -> bool:
        first, last = self._runs.get(conversation, (1, 0))
        return number <= self._had.get(conversation, 0) or first <= number <= last

    def _continues(self, conversation: str, number: int) -> bool:
        return conversation not in self._runs or number == self._runs[conversation][1] + 1

    def _last_behind(self, conversation: str, number: int) -> int:
        """The last of those that came before their turn and follow a number; they are no others any more."""
        while (conversation, number + 1) in self._others:
            number += 1
            del self._others[conversation, number]
        return number


def _put(memory: dict[Any, Any], key: object, value: object, limit: int) -> None:
    """Remember; of a full memory, the oldest entry makes room."""
    if key not in memory and len(memory) >= limit:
        del memory[next(iter(memory))]
    memory[key] = value
