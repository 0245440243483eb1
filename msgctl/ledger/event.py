"""One event of one message, and what a sequence of them comes to. Pure: no I/O, no clock."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

import msgspec

from msgctl.domain.messages import WireStruct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TERMINAL_EVENTS = frozenset({"sent", "kept", "told", "delivery_failed", "unknown", "buried", "removed", "parked"})
"""Events after which nobody works on a message by himself any more; but see `Event.is_terminal`."""


class EventState(StrEnum):
    """Where the events say that a message is; the queue's own states, and two ways to be out of it."""

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
"""The state of the queue after an event; events of delivery change none."""


class Event(WireStruct, kw_only=True, frozen=True):
    """What happened to a message."""

    entry: str
    """Its entry in the stream of Redis, `milliseconds-number`: the order of all events."""
    message_id: str
    what: str
    actor: str
    conversation_id: str | None = None
    evidence: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def from_entry(cls, entry: str, fields: Mapping[str, str]) -> Self:
        """Read an entry of the stream."""
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
        """Milliseconds since the epoch, and the number within that millisecond."""
        milliseconds, _, number = self.entry.partition("-")
        return int(milliseconds), int(number)

    @property
    def at(self) -> datetime:
        """When it happened, by the clock of Redis."""
        return EPOCH + timedelta(milliseconds=self.position[0])

    @property
    def is_terminal(self) -> bool:
        """Whether nobody works on the message by himself after this; a doubt that is to be resolved is no end."""
        return self.what in TERMINAL_EVENTS and not (self.what == "unknown" and "again_ms" in self.evidence)


_BASE_FIELDS = frozenset({"id", "what", "by", "conversation"})


def fold_states(events: Iterable[Event]) -> dict[str, EventState]:
    """The state of each message after these events, which must be in their order."""
    states: dict[str, EventState] = {}
    for event in events:
        if event.what in STATE_AFTER_EVENT:
            states[event.message_id] = STATE_AFTER_EVENT[event.what]
    return states


def format_entry_id(at: datetime, number: int) -> str:
    """The id of the stream's entry from the two columns that PostgreSQL keeps of it."""
    return f"{(at - EPOCH) // timedelta(milliseconds=1)}-{number}"
