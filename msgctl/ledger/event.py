"""The events of messages, and the state that follows from them. Pure: no I/O, no clock."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

import msgspec

from msgctl.domain.messages import WireStruct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TERMINAL_EVENTS = frozenset(
    {"sent", "kept", "told", "silent", "delivery_failed", "unknown", "buried", "removed", "parked"}
)
"""Events after which no daemon processes a message further, with the exception in `Event.is_terminal`."""


class EventState(StrEnum):
    """The state of a message according to its events: the states of the queue, and two states outside it."""

    WAITING = "waiting"
    ACTIVE = "active"
    DELAYED = "delayed"
    COMPLETED = "completed"
    FAILED = "failed"
    PARKED = "parked"
    REMOVED = "removed"


STATE_AFTER_EVENT = {
    "accepted": EventState.WAITING,
    "queued": EventState.WAITING,
    "claimed": EventState.ACTIVE,
    "committed": EventState.COMPLETED,
    "silent": EventState.COMPLETED,
    "failed": EventState.DELAYED,
    "held": EventState.DELAYED,
    "crashed": EventState.WAITING,
    "quarantined": EventState.WAITING,
    "buried": EventState.FAILED,
    "replayed": EventState.WAITING,
    "handed_back": EventState.WAITING,
    "parked": EventState.PARKED,
    "vanished": EventState.REMOVED,
    "removed": EventState.REMOVED,
}
"""The state after an event. Events of the delivery do not change it."""


class Event(WireStruct, kw_only=True, frozen=True):
    """One event of one message."""

    entry: str
    """Its entry in the Redis stream, `milliseconds-number`. Entries order all events."""
    message_id: str
    what: str
    actor: str
    conversation_id: str | None = None
    evidence: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def from_entry(cls, entry: str, fields: Mapping[str, str]) -> Self:
        """Make an event from an entry of the stream."""
        evidence = {name: value for name, value in fields.items() if value != "" and name not in _BASE_FIELDS}
        return cls(
            entry=entry,
            message_id=fields.get("id", ""),
            what=fields.get("what", ""),
            actor=fields.get("by", ""),
            conversation_id=fields.get("conversation"),
            evidence=evidence,
        )

    @property
    def position(self) -> tuple[int, int]:
        """Unix milliseconds, and the number within that millisecond."""
        milliseconds, _, number = self.entry.partition("-")
        return int(milliseconds), int(number)

    @property
    def at(self) -> datetime:
        """The time of the event by the clock of Redis."""
        return EPOCH + timedelta(milliseconds=self.position[0])

    @property
    def is_terminal(self) -> bool:
        """Whether no daemon processes the message further. False for an unknown outcome that gets resolved."""
        return self.what in TERMINAL_EVENTS and not (self.what == "unknown" and "again_ms" in self.evidence)


_BASE_FIELDS = frozenset({"id", "what", "by", "conversation"})


def fold_states(events: Iterable[Event]) -> dict[str, EventState]:
    """Return the state of each message after these events, which must be in order."""
    states: dict[str, EventState] = {}
    for event in events:
        if event.what in STATE_AFTER_EVENT:
            states[event.message_id] = STATE_AFTER_EVENT[event.what]
    return states


def format_entry_id(at: datetime, number: int) -> str:
    """Return the stream entry from the two columns that PostgreSQL stores of it."""
    return f"{(at - EPOCH) // timedelta(milliseconds=1)}-{number}"
