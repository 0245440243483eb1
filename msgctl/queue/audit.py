"""The audit of the mailboxes: the head of every conversation must be either queued, running, or scheduled.

Each script preserves this. The audit repairs damage from outside, for example a deleted key or a restored backup.
It uses SCAN and slices, so that Redis serves other clients meanwhile.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import cast

from msgctl.domain.messages import WireStruct
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

AUDIT_MAILBOXES = Script.beside(__file__, "audit")
PRUNE_WORKERS = Script.beside(__file__, "prune_workers")

AUDIT_BATCH_SIZE = 200
"""Conversations checked in one call."""
QUEUE_READ_COUNT = 1000
"""Ids of a queue that are read in one call."""
AUDIT_INTERVAL_S = 60.0
"""Seconds between two audits among all workers."""
CONFIRMATION_DELAY_S = 0.2
"""Seconds after which a suspected message is checked again."""


class StuckMessage(WireStruct, frozen=True):
    """The head of a conversation that is not queued, running, or scheduled."""

    conversation_id: str
    message_id: str
    fault: str
    """gone · over · unworkable · held_back · no_lease · not_scheduled · not_queued."""
    queue: str = ""
    proof: str = ""


class MailboxAuditor:
    """Audits the mailboxes and removes dead workers.

    Args:
        redis: a client made by `connect`.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def acquire_run(self) -> bool:
        """Whether an audit is due and this caller must run it. One caller a minute gets True."""
        acquired = await self._redis.set(keys.AUDITED, "1", px=round(AUDIT_INTERVAL_S * 1000), nx=True)
        return bool(acquired)

    async def run(self, *, repair: bool) -> list[StuckMessage]:
        """Check every mailbox, suspected ones a second time, and return the messages that are stuck.

        Args:
            repair: requeue the stuck messages, or remove those that have ended from their mailboxes.
        """
        suspects = [suspect async for batch in self._scan_mailboxes() for suspect in await self._check(batch)]
        if not suspects:
            return []
        await asyncio.sleep(CONFIRMATION_DELAY_S)
        suspects = await self._check([(suspect.conversation_id, "") for suspect in suspects])
        proofs = await self._prove_missing(suspects)
        stuck = await self._check(
            [(suspect.conversation_id, proofs.get(suspect.proof, "")) for suspect in suspects], repair=repair
        )
        return [message for message in stuck if message.fault != "overtaken"]

    async def prune_workers(self) -> int:
        """Remove workers whose heartbeat expired from RQ's registries and return how many."""
        names = (*keys.QUEUES, keys.QUARANTINE)
        return cast("int", await PRUNE_WORKERS(self._redis, *names))

    async def find_missing(self, queue: str, message_ids: Iterable[str]) -> set[str]:
        """Return those of `message_ids` that were not in a queue at any time during the search.

        The list is read from its tail. Ids pushed meanwhile only make others appear twice, and claims take ids
        from the other end.
        """
        missing, start = set(message_ids), 0
        while missing:
            ids = await self._redis.lrange(keys.RQ_QUEUE + queue, -start - QUEUE_READ_COUNT, -start - 1)
            missing.difference_update(ids)
            if len(ids) < QUEUE_READ_COUNT:
                break
            start += QUEUE_READ_COUNT
        return missing

    async def _scan_mailboxes(self) -> AsyncIterator[list[tuple[str, str]]]:
        cursor, pattern = -1, keys.MAILBOX + "*"
        while cursor != 0:
            cursor, key_names = await self._redis.scan(max(cursor, 0), pattern, 1000, "list")
            for start in range(0, len(key_names), AUDIT_BATCH_SIZE):
                yield [
                    (str(key).removeprefix(keys.MAILBOX), "")
                    for key in key_names[start : start + AUDIT_BATCH_SIZE]
                ]

    async def _check(
        self, conversations: Sequence[tuple[str, str]], *, repair: bool = False
    ) -> list[StuckMessage]:
        """Run the script on conversations, each with a proof or an empty string."""
        stuck: list[StuckMessage] = []
        for start in range(0, len(conversations), AUDIT_BATCH_SIZE):
            arguments = [part for pair in conversations[start : start + AUDIT_BATCH_SIZE] for part in pair]
            rows = await AUDIT_MAILBOXES(self._redis, int(repair), *arguments)
            stuck += [StuckMessage(*row) for row in rows]
        return stuck

    async def _prove_missing(self, suspects: Sequence[StuckMessage]) -> dict[str, str]:
        """Return the proofs of the overtaken messages that are not in their queues."""
        queues: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for suspect in suspects:
            if suspect.fault == "overtaken":
                queues[suspect.queue][suspect.message_id] = suspect.proof
        proven: dict[str, str] = {}
        for queue, proofs in queues.items():
            for message_id in await self.find_missing(queue, proofs):
                proven[proofs[message_id]] = proofs[message_id]
        return proven
