"""The query for messages, and the filter of the dashboard: `state:failed channel:web since:15m`."""

from typing import Any

import msgspec

from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import PRIORITIES, Channel, State
from msgctl.domain.times import parse_duration

QUERY_WORDS = ("state", "channel", "agent", "user", "priority", "error", "since")


class Query(msgspec.Struct, kw_only=True, frozen=True):
    """The messages to search for. None: any value."""

    state: State | None = None
    channel: Channel | None = None
    agent: str | None = None
    user: str | None = None
    priority: int | None = None
    error: str | None = None
    """A part of the code or the text of the last error."""
    since: float | None = None
    """Only messages whose time is at most this many seconds ago."""
    until: float | None = None
    """Only messages whose time is at least this many seconds ago."""
    match: str | None = None
    """A part of the text. It is compared inside Redis and never shown."""
    group: str | None = None
    """The key of the signature of the error, or its first digits; see `dead_letters.groups`."""
    message_id: str | None = None
    """Only this message."""


def parse_query(text: str) -> Query:
    """Parse a filter such as `state:failed since:15m`. A word without a colon is the id of a message.

    Raises:
        InvalidInput: a word or a value is not valid.
    """
    values: dict[str, Any] = {}
    for word in text.split():
        name, colon, value = word.partition(":")
        if not colon:
            values["message_id"] = word
        elif name not in QUERY_WORDS or not value:
            raise InvalidInput(f"{word!r} is not understood; the words are {': '.join(QUERY_WORDS)}: and an id.")
        else:
            values[name] = _PARSERS.get(name, str)(value)
    return Query(**values)


def _parse_state(text: str) -> State:
    if text not in set(State):
        raise InvalidInput(f"There is no state {text!r}; there are {', '.join(State)}.")
    return State(text)


def _parse_channel(text: str) -> Channel:
    try:
        return Channel(text)
    except ValueError:
        from msgctl.channels.names import channel_names  # noqa: PLC0415 - only a wrong name needs all of them

        raise InvalidInput(f"There is no channel {text!r}; there are {', '.join(channel_names())}.") from None


def _parse_priority(text: str) -> int:
    if not text.isdecimal() or int(text) not in PRIORITIES:
        raise InvalidInput(f"{text!r} is not a priority. Priorities are 1 to 10.")
    return int(text)


_PARSERS: dict[str, Any] = {
    "state": _parse_state,
    "channel": _parse_channel,
    "priority": _parse_priority,
    "since": parse_duration,
}
