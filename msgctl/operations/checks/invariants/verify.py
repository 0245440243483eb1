"""The verification of the invariants on a live system.

It reads every key once, in batches. A fault counts only if it is found in three looks.

I1  An accepted message ends as delivered or as a dead letter, but not as both, or it is visibly on its way.
I2  Each message has at most one committed response.
I3  The numbers of the delivered responses of a conversation only grow.
I4  The head of each conversation is queued, running, or scheduled, and only one of them.
    Nothing runs past its lease.
I5  No message has more attempts or more crashes than the settings allow.
I6  Every key has an owner or expires.
I7  A provider saw each part of a response once, or the delivery is marked UNKNOWN.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence

import msgspec

from msgctl.operations.checks.findings import Finding
from msgctl.operations.checks.invariants.check import InvariantCheck, Suspect, violation
from msgctl.operations.checks.invariants.keys import KeyOwnershipCheck
from msgctl.operations.checks.invariants.messages import IdentityCheck, MessageStateCheck, RunCheck
from msgctl.operations.checks.invariants.queues import QueueCheck
from msgctl.operations.checks.invariants.responses import ConversationCheck, ResponseStreamCheck
from msgctl.operations.context import Operation
from msgctl.queue.audit import MailboxAuditor

KEY_SCAN_COUNT = 500
"""Keys read in one call."""
CONFIRMATIONS = 3
"""Looks in which a fault must be found. The system changes during a look."""
CONFIRMATION_INTERVAL_S = 0.5
"""Seconds between two looks."""

PROBLEM_BY_FAULT = {
    "gone": "the head of its conversation has no record",
    "over": "it has ended and is still the head of its conversation",
    "unworkable": "the head of its conversation cannot be processed",
    "held_back": "it is the head of its conversation and deferred",
    "no_lease": "its status is started, and nobody holds its lease",
    "not_scheduled": "its status is scheduled, and it is not scheduled",
    "not_queued": "its status is queued, and it is in no queue",
}


class VerificationReport(msgspec.Struct, frozen=True):
    """The result of a verification."""

    holds: bool
    """Whether all invariants hold."""
    messages: dict[str, int]
    """The number of messages by place: waiting, running, delayed, delivering, delivered, undeliverable, unknown,
    dead letter, parked."""
    violations: list[Finding]


class InvariantVerification(Operation):
    """Checks the invariants. It only reads."""

    async def run(self) -> VerificationReport:
        """Check every key.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        places: Counter[str] = Counter()
        others = (IdentityCheck, RunCheck, QueueCheck, ConversationCheck, ResponseStreamCheck, KeyOwnershipCheck)
        checks: list[InvariantCheck] = [
            MessageStateCheck(self._settings, self._redis, places),
            *(check(self._settings, self._redis) for check in others),
        ]
        suspects: defaultdict[InvariantCheck, list[Suspect]] = defaultdict(list)
        async for keys in self._scan_keys():
            for check in checks:
                suspects[check] += await _find_suspects(check, keys)
        messages = dict(sorted(places.items()))  # before the further looks, which count again
        violations = await self._stuck_conversations()
        for check in checks:
            violations += await self._confirm(check, suspects[check])
        return VerificationReport(holds=not violations, messages=messages, violations=violations)

    async def _scan_keys(self) -> AsyncIterator[list[str]]:
        """Yield every key once, in batches. SCAN itself may return a key twice."""
        seen: set[int] = set()
        cursor = -1
        while cursor != 0:
            cursor, keys = await self._redis.scan(max(cursor, 0), count=KEY_SCAN_COUNT)
            fresh = [str(key) for key in keys if hash(key) not in seen]
            seen.update(map(hash, fresh))
            yield fresh

    async def _confirm(self, check: InvariantCheck, suspects: Sequence[Suspect]) -> list[Finding]:
        """Return the violations of the suspects that each further look finds again."""
        for _ in range(CONFIRMATIONS - 1):
            if not suspects:
                return []
            await asyncio.sleep(CONFIRMATION_INTERVAL_S)
            before = {(suspect.violation.code, suspect.violation.subject) for suspect in suspects}
            found = await _find_suspects(check, list(dict.fromkeys(suspect.key for suspect in suspects)))
            suspects = [
                suspect for suspect in found if (suspect.violation.code, suspect.violation.subject) in before
            ]
        return list(dict.fromkeys(suspect.violation for suspect in suspects))

    async def _stuck_conversations(self) -> list[Finding]:
        return [
            violation("I4", stuck.message_id, PROBLEM_BY_FAULT.get(stuck.fault, stuck.fault))
            for stuck in await MailboxAuditor(self._redis).run(repair=False)
        ]


async def _find_suspects(check: InvariantCheck, keys: Sequence[str]) -> list[Suspect]:
    covered = [key for key in keys if check.applies_to(key)]
    return await check.find_suspects(covered) if covered else []
