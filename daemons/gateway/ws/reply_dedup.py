"""What one socket has shown to its client: replies come in order, so a few numbers tell of thousands.

A conversation that expired, or that Redis lost, begins anew at 1 while its sockets live on. Then a number comes
again with a reply that is younger than all that was shown, which a reply that merely comes twice never is.
"""

from typing import Any

ReplyKey = tuple[str, str | int]
"""A conversation and a number in it, or two texts that together stand for something without a number."""


class ReplyDeduplicator:
    """A memory of replies, each of which is to be shown once.

    Args:
        limit: conversations, and things out of order or without a number, that are remembered at least.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known_to_client: dict[str, tuple[int, str]] = {}
        """By conversation: up to which number the client has all, wherever from, and since when."""
        self._shown_ranges: dict[str, tuple[int, int, str]] = {}
        """By conversation: first and last of the numbers shown one after the other; when the youngest was made."""
        self._out_of_order: dict[ReplyKey, None] = {}  # a set that knows its oldest member

    def __len__(self) -> int:
        """How many entries it takes."""
        return len(self._known_to_client) + len(self._shown_ranges) + len(self._out_of_order)

    def add(self, key: ReplyKey, at: str = "") -> bool:
        """Whether this has not been shown yet; from now on it has.

        Args:
            key: what it is.
            at: when it was made, as `clock.timestamp`; empty: unknown.
        """
        conversation, number = key
        if isinstance(number, int):
            return self._add_seq(conversation, number, at)
        if key in self._out_of_order:
            return False
        _put_bounded(self._out_of_order, key, None, self._limit)
        return True

    def mark_received_up_to(self, conversation: str, number: int, at: str = "") -> None:
        """The client has everything of a conversation up to here, perhaps from another socket.

        Args:
            conversation: which one.
            number: the last that it has.
            at: now, as `clock.timestamp`; empty: unknown.
        """
        self._known_to_client.pop(conversation, None)
        _put_bounded(self._known_to_client, conversation, (number, at), self._limit)

    def forget_conversation(self, conversation: str) -> None:
        """A conversation begins anew: none of its numbers has been shown."""
        self._known_to_client.pop(conversation, None)
        self._shown_ranges.pop(conversation, None)
        for key in [key for key in self._out_of_order if key[0] == conversation and isinstance(key[1], int)]:
            del self._out_of_order[key]

    def _add_seq(self, conversation: str, number: int, at: str) -> bool:
        if (conversation, number) in self._out_of_order or self._is_known(conversation, number):
            if not self._is_newer(conversation, at):
                return False
            self.forget_conversation(conversation)
        first, last, youngest = self._shown_ranges.get(conversation, (number, number - 1, ""))
        if number == last + 1:
            last = self._extend_range(conversation, number)
        else:
            _put_bounded(self._out_of_order, (conversation, number), None, self._limit)
        _put_bounded(self._shown_ranges, conversation, (first, last, max(youngest, at)), self._limit)
        return True

    def _is_known(self, conversation: str, number: int) -> bool:
        had, _ = self._known_to_client.get(conversation, (0, ""))
        first, last, _ = self._shown_ranges.get(conversation, (1, 0, ""))
        return number <= had or first <= number <= last

    def _is_newer(self, conversation: str, at: str) -> bool:
        """Whether it was made after all that was shown and all that the client had, if that is known."""
        _, since = self._known_to_client.get(conversation, (0, ""))
        *_, youngest = self._shown_ranges.get(conversation, (0, 0, ""))
        known = max(since, youngest)
        return bool(known) and at > known

    def _extend_range(self, conversation: str, number: int) -> int:
        """The last of those that came before their turn and follow a number; they are no others any more."""
        while (conversation, number + 1) in self._out_of_order:
            number += 1
            del self._out_of_order[conversation, number]
        return number


def _put_bounded(memory: dict[Any, Any], key: object, value: object, limit: int) -> None:
    """Remember; of a full memory, the oldest entry makes room."""
    if key not in memory and len(memory) >= limit:
        del memory[next(iter(memory))]
    memory[key] = value
