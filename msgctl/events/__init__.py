"""The ledger of every message: written by every script beside its transition, carried on into PostgreSQL."""

from msgctl.events.archive import Archive, Unfinished
from msgctl.events.event import ENDS, Event, EventState, fold
from msgctl.events.ledger import Ledger
from msgctl.events.projector import Projector

__all__ = ["ENDS", "Archive", "Event", "EventState", "Ledger", "Projector", "Unfinished", "fold"]
