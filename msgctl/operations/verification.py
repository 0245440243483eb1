"""Do the invariants hold on a live system? Walks every key once, in batches, and looks twice before it complains.

I1  an accepted message ends in exactly one of {delivered, dead letter}, or is visibly on its way
I2  at most one committed response for each message
I3  in each conversation the delivered numbers only grow
I4  the head of each conversation is in exactly one of queue, running, scheduled; nothing runs past its lease
I5  no message has more attempts, or more crashes, than it may have
I6  every key has an owner or expires
I7  a provider saw each part of a response once, or the delivery is marked UNKNOWN
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence

from msgctl.messages import Record
from msgctl.operations.context import Context
from msgctl.operations.findings import Check, Suspect, Violation
from msgctl.operations.key_checks import Ownership
from msgctl.operations.message_checks import Identities, Places, Runs
from msgctl.operations.queue_checks import Lines
from msgctl.operations.response_checks import Conversations, Stream
from msgctl.rqueue.audit import Audit

WALK = 500
"""Keys read in one call."""
LOOKS = 3
"""How often something must look wrong: the system moves while it is looked at."""
PAUSE = 0.5
"""Seconds between two looks."""

STUCK = {
    "gone": "the head of its conversation has no record",
    "over": "it is over and still the head of its conversation",
    "unworkable": "the head of its conversation cannot be worked",
    "held_back": "it is the head of its conversation and held back",
    "no_lease": "it is said to run and nobody holds a lease",
    "not_scheduled": "it is said to be scheduled and is not",
    "not_queued": "it is said to be queued and is in no queue",
}


class Verdict(Record, frozen=True):
    """What a verification came to."""

    holds: bool
    """Whether all invariants hold."""
    messages: dict[str, int]
    """How many messages are where: waiting, running, delayed, delivering, delivered, undeliverable, unknown, dead
    letter, parked."""
    violations: list[Violation]


class Verification:
    """Checks the invariants; it only reads.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis

    async def run(self) -> Verdict:
        """Look at everything.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        places: Counter[str] = Counter()
        checks: list[Check] = [
            Places(self._settings, self._redis, places),
            Identities(self._settings, self._redis),
            Runs(self._settings, self._redis),
            Lines(self._settings, self._redis),
            Conversations(self._settings, self._redis),
            Stream(self._settings, self._redis),
            Ownership(self._settings, self._redis),
        ]
        suspects: defaultdict[int, list[Suspect]] = defaultdict(list)
        async for keys in self._walk():
            for number, check in enumerate(checks):
                suspects[number] += await _look(check, keys)
        tally = dict(sorted(places.items()))
        violations = await self._stuck()
        for number, check in enumerate(checks):
            violations += await self._confirm(check, suspects[number])
        return Verdict(holds=not violations, messages=tally, violations=violations)

    async def _walk(self) -> AsyncIterator[list[str]]:
        """Every key once; SCAN itself may show one again."""
        seen: set[int] = set()
        cursor = -1
        while cursor != 0:
            cursor, keys = await self._redis.scan(max(cursor, 0), count=WALK)
            fresh = [str(key) for key in keys if hash(key) not in seen]
            seen.update(map(hash, fresh))
            yield fresh

    async def _confirm(self, check: Check, suspects: Sequence[Suspect]) -> list[Violation]:
        """Those of the suspicions that are found again each time."""
        for _ in range(LOOKS - 1):
            if not suspects:
                return []
            await asyncio.sleep(PAUSE)
            before = {(one.violation.invariant, one.violation.subject) for one in suspects}
            again = await _look(check, list(dict.fromkeys(one.key for one in suspects)))
            suspects = [one for one in again if (one.violation.invariant, one.violation.subject) in before]
        return list(dict.fromkeys(one.violation for one in suspects))

    async def _stuck(self) -> list[Violation]:
        found = await Audit(self._redis).run(mend=False)
        return [Violation("I4", stuck.message_id, STUCK.get(stuck.fault, stuck.fault)) for stuck in found]


async def _look(check: Check, keys: Sequence[str]) -> list[Suspect]:
    concerned = [key for key in keys if check.concerns(key)]
    return await check.look(concerned) if concerned else []
