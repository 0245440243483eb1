"""The ledger of every message: written by every script beside its transition, carried on into PostgreSQL.

`archive` and `projector`, its side in PostgreSQL, are imported by their own names: psycopg takes 0.2 s.
"""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.events.event import ENDS, Event, EventState, fold
    from msgctl.events.ledger import Ledger
else:
    __getattr__ = lazily(
        __name__,
        {
            "event": "ENDS Event EventState fold",
            "ledger": "Ledger",
        },
    )

__all__ = ["ENDS", "Event", "EventState", "Ledger", "fold"]
