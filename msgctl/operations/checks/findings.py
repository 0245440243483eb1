"""What a verification finds, and the form all its checks share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgctl.domain.messages import WireStruct

INVARIANTS = {
    "I1": "a message ends once, or is on its way",
    "I2": "it is answered once",
    "I3": "replies of a conversation come in order",
    "I4": "no conversation is stuck, nothing runs past its lease",
    "I5": "nothing is tried oftener than it may be",
    "I6": "nothing is left behind in Redis",
    "I7": "a provider sees a reply once, or it is marked UNKNOWN",
}
"""What each invariant of `InvariantVerification` says to a person."""


class Violation(WireStruct, frozen=True):
    """One invariant that does not hold for one message, conversation, run or key."""

    invariant: str
    """`I1` to `I7`, see `InvariantVerification`."""
    subject: str
    """The id it is about."""
    problem: str


class Suspect(NamedTuple):
    """A violation as of one look, and the key to look at again."""

    key: str
    violation: Violation


class InvariantCheck(Protocol):
    """Looks at keys of one kind, each look at what is true now; never writes."""

    def applies_to(self, key: str) -> bool:
        """Whether this key is of its kind."""
        ...

    async def find_suspects(self, keys: Sequence[str]) -> list[Suspect]:
        """What is wrong with these keys.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        ...


def suspect(key: str, invariant: str, subject: str, problem: str) -> Suspect:
    """A suspicion about a key."""
    return Suspect(key, Violation(invariant, subject, problem))
