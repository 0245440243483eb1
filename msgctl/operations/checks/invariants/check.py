"""What the checks of the invariants share: the invariants themselves, the base class, and the suspect."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from msgctl.config.settings import Settings
from msgctl.operations.checks.findings import Finding
from msgctl.storage.redis.client import RedisClient

INVARIANTS = {
    "I1": "a message ends once, or is on its way",
    "I2": "a message is answered once",
    "I3": "replies of a conversation come in order",
    "I4": "no conversation is stuck, and nothing runs past its lease",
    "I5": "nothing is tried more often than the settings allow",
    "I6": "nothing is left behind in Redis",
    "I7": "a provider sees a reply once, or it is marked UNKNOWN",
}
"""What each invariant says to a person."""


class Suspect(NamedTuple):
    """A violation that one look found, and the key to look at again."""

    key: str
    violation: Finding


class InvariantCheck(ABC):
    """A check of the keys of one kind. Each call sees the present state. It never writes.

    Args:
        settings: limits and retention periods.
        redis: a client of `storage.redis.connections.connect`.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    @abstractmethod
    def applies_to(self, key: str) -> bool:
        """Return whether the check covers this key."""

    @abstractmethod
    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the violations that these keys show.

        Raises:
            RedisUnavailable: Redis does not answer.
        """


def violation(invariant: str, subject: str, problem: str) -> Finding:
    """Return the finding that an invariant does not hold.

    Args:
        invariant: `I1` to `I7`.
        subject: the id of the message, conversation, run, or key.
        problem: what is wrong with it, as a clause.
    """
    return Finding(code=invariant, subject=subject, text=problem)


def suspect(key: str, invariant: str, subject: str, problem: str) -> Suspect:
    """Return a suspect; for the arguments see `violation`."""
    return Suspect(key, violation(invariant, subject, problem))
