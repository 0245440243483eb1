"""The auditor: is the head of every conversation in play, in exactly one of queue, running, scheduled?

Each script keeps that true by itself. The auditor is for what nobody foresaw: a key that was deleted by hand, a
backup that was read in. It walks by SCAN and in slices, so that Redis serves others meanwhile.
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
"""Conversations looked at in one call."""
QUEUE_READ_COUNT = 1000
"""Ids of a queue read in one call."""
AUDIT_INTERVAL_S = 60.0
"""Seconds between two audits, whoever makes them."""
CONFIRMATION_DELAY_S = 0.2
"""Seconds after which a suspect is looked at again."""


class StuckMessage(WireStruct, frozen=True):
    """The head of a conversation that is not in play."""

    conversation_id: str
    message_id: str
    fault: str
    """gone · over · unworkable · held_back · no_lease · not_scheduled · not_queued."""
    queue: str = ""
    proof: str = ""


class MailboxAuditor:
    """Looks through the mailboxes.

    Args:
        redis: a client of `redisdb.connect`.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def acquire_run(self) -> bool:
        """Whether it is time for an audit and this caller shall make it: one a minute among all workers."""
        taken = await self._redis.set(keys.AUDITED, "1", px=round(AUDIT_INTERVAL_S * 1000), nx=True)
        return bool(taken)

    async def run(self, *, repair: bool) -> list[StuckMessage]:
        """Look at every mailbox, twice where something seems wrong, and return what is.

        Args:
            repair: bring the stuck ones back into play.
        """
        suspects = [stuck async for batch in self._scan_mailboxes() for stuck in await self._check(batch)]
        if not suspects:
            return []
        await asyncio.sleep(CONFIRMATION_DELAY_S)
        suspects = await self._check([(one.conversation_id, "") for one in suspects])
        proofs = await self._prove_missing(suspects)
        found = await self._check(
            [(one.conversation_id, proofs.get(one.proof, "")) for one in suspects], repair=repair
        )
        return [stuck for stuck in found if stuck.fault != "overtaken"]

    async def prune_workers(self) -> int:
        """Strike workers that died without a word off RQ's registers; how many."""
        names = (*keys.QUEUES, keys.QUARANTINE)
        return cast("int", await PRUNE_WORKERS(self._redis, *names))

    async def find_missing(self, queue: str, message_ids: Iterable[str]) -> set[str]:
        """Those of `message_ids` that are not in a queue and were not while this was found out.

        The list is read from its tail: what is pushed meanwhile only makes ids appear twice, and what is claimed
        is taken from the other end.
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
        """Run the script on conversations, each with a proof or nothing."""
        found: list[StuckMessage] = []
        for start in range(0, len(conversations), AUDIT_BATCH_SIZE):
            arguments = [part for pair in conversations[start : start + AUDIT_BATCH_SIZE] for part in pair]
            rows = await AUDIT_MAILBOXES(self._redis, int(repair), *arguments)
            found += [StuckMessage(*row) for row in rows]
        return found

    async def _prove_missing(self, suspects: Sequence[StuckMessage]) -> dict[str, str]:
        """The proofs of those that were overtaken and are not in their queue."""
        queues: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for one in suspects:
            if one.fault == "overtaken":
                queues[one.queue][one.message_id] = one.proof
        proven: dict[str, str] = {}
        for queue, proofs in queues.items():
            for message_id in await self.find_missing(queue, proofs):
                proven[proofs[message_id]] = proofs[message_id]
        return proven
