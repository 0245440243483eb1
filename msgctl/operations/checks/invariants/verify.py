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

from msgctl.domain.messages import WireStruct
from msgctl.operations.checks.findings import InvariantCheck, Suspect, Violation
from msgctl.operations.checks.invariants.keys import KeyOwnershipCheck
from msgctl.operations.checks.invariants.messages import IdentityCheck, MessageStateCheck, RunCheck
from msgctl.operations.checks.invariants.queues import QueueCheck
from msgctl.operations.checks.invariants.responses import ConversationCheck, ResponseStreamCheck
from msgctl.operations.context import Context
from msgctl.queue.audit import MailboxAuditor

KEY_SCAN_COUNT = 500
"""Keys read in one call."""
CONFIRMATIONS = 3
"""How often something must look wrong: the system moves while it is looked at."""
CONFIRMATION_INTERVAL_S = 0.5
"""Seconds between two looks."""

PROBLEM_BY_FAULT = {
    "gone": "the head of its conversation has no record",
    "over": "it is over and still the head of its conversation",
    "unworkable": "the head of its conversation cannot be worked",
    "held_back": "it is the head of its conversation and held back",
    "no_lease": "it is said to run and nobody holds a lease",
    "not_scheduled": "it is said to be scheduled and is not",
    "not_queued": "it is said to be queued and is in no queue",
}


class VerificationReport(WireStruct, frozen=True):
    """What a verification came to."""

    holds: bool
    """Whether all invariants hold."""
    messages: dict[str, int]
    """How many messages are where: waiting, running, delayed, delivering, delivered, undeliverable, unknown, dead
    letter, parked."""
    violations: list[Violation]


class InvariantVerification:
    """Checks the invariants; it only reads.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis

    async def run(self) -> VerificationReport:
        """Look at everything.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        places: Counter[str] = Counter()
        checks: list[InvariantCheck] = [
            MessageStateCheck(self._settings, self._redis, places),
            IdentityCheck(self._settings, self._redis),
            RunCheck(self._settings, self._redis),
            QueueCheck(self._settings, self._redis),
            ConversationCheck(self._settings, self._redis),
            ResponseStreamCheck(self._settings, self._redis),
            KeyOwnershipCheck(self._settings, self._redis),
        ]
        suspects: defaultdict[int, list[Suspect]] = defaultdict(list)
        async for keys in self._scan_keys():
            for number, check in enumerate(checks):
                suspects[number] += await _find_suspects(check, keys)
        tally = dict(sorted(places.items()))
        violations = await self._stuck_conversations()
        for number, check in enumerate(checks):
            violations += await self._confirm(check, suspects[number])
        return VerificationReport(holds=not violations, messages=tally, violations=violations)

    async def _scan_keys(self) -> AsyncIterator[list[str]]:
        """Every key once; SCAN itself may show one again."""
        seen: set[int] = set()
        cursor = -1
        while cursor != 0:
            cursor, keys = await self._redis.scan(max(cursor, 0), count=KEY_SCAN_COUNT)
            fresh = [str(key) for key in keys if hash(key) not in seen]
            seen.update(map(hash, fresh))
            yield fresh

    async def _confirm(self, check: InvariantCheck, suspects: Sequence[Suspect]) -> list[Violation]:
        """Those of the suspicions that are found again each time."""
        for _ in range(CONFIRMATIONS - 1):
            if not suspects:
                return []
            await asyncio.sleep(CONFIRMATION_INTERVAL_S)
            before = {(one.violation.invariant, one.violation.subject) for one in suspects}
            again = await _find_suspects(check, list(dict.fromkeys(one.key for one in suspects)))
            suspects = [one for one in again if (one.violation.invariant, one.violation.subject) in before]
        return list(dict.fromkeys(one.violation for one in suspects))

    async def _stuck_conversations(self) -> list[Violation]:
        found = await MailboxAuditor(self._redis).run(repair=False)
        return [
            Violation("I4", stuck.message_id, PROBLEM_BY_FAULT.get(stuck.fault, stuck.fault)) for stuck in found
        ]


async def _find_suspects(check: InvariantCheck, keys: Sequence[str]) -> list[Suspect]:
    concerned = [key for key in keys if check.applies_to(key)]
    return await check.find_suspects(concerned) if concerned else []
