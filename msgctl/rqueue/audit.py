"""The auditor: is the head of every conversation in play, in exactly one of queue, running, scheduled?

Each script keeps that true by itself. The auditor is for what nobody foresaw: a key that was deleted by hand, a
backup that was read in. It walks by SCAN and in slices, so that Redis serves others meanwhile.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import cast

from msgctl import contracts
from msgctl.messages import Record
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

AUDIT = Script.beside(__file__, "audit")
FORGET = Script.beside(__file__, "prune_workers")

BATCH = 200
"""Conversations looked at in one call."""
SLICE = 1000
"""Ids of a queue read in one call."""
INTERVAL = 60.0
"""Seconds between two audits, whoever makes them."""
SECOND_LOOK = 0.2
"""Seconds after which a suspect is looked at again."""


class Stuck(Record, frozen=True):
    """The head of a conversation that is not in play."""

    conversation_id: str
    message_id: str
    fault: str
    """gone · over · unworkable · held_back · no_lease · not_scheduled · not_queued."""
    queue: str = ""
    proof: str = ""


class Audit:
    """Looks through the mailboxes.

    Args:
        redis: a client of `redisdb.connect`.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def is_due(self) -> bool:
        """Whether it is time for an audit and this caller shall make it: one a minute among all workers."""
        taken = await self._redis.set(contracts.AUDITED, "1", px=round(INTERVAL * 1000), nx=True)
        return bool(taken)

    async def run(self, *, mend: bool) -> list[Stuck]:
        """Look at every mailbox, twice where something seems wrong, and return what is.

        Args:
            mend: bring the stuck ones back into play.
        """
        suspects = [stuck async for batch in self._mailboxes() for stuck in await self._look(batch)]
        if not suspects:
            return []
        await asyncio.sleep(SECOND_LOOK)
        suspects = await self._look([(one.conversation_id, "") for one in suspects])
        proofs = await self._prove(suspects)
        found = await self._look([(one.conversation_id, proofs.get(one.proof, "")) for one in suspects], mend=mend)
        return [stuck for stuck in found if stuck.fault != "overtaken"]

    async def forget_workers(self) -> int:
        """Strike workers that died without a word off RQ's registers; how many."""
        names = (*contracts.QUEUES, contracts.QUARANTINE)
        return cast("int", await FORGET(self._redis, *names))

    async def absent(self, queue: str, message_ids: Iterable[str]) -> set[str]:
        """Those of `message_ids` that are not in a queue and were not while this was found out.

        The list is read from its tail: what is pushed meanwhile only makes ids appear twice, and what is claimed
        is taken from the other end.
        """
        missing, start = set(message_ids), 0
        while missing:
            ids = await self._redis.lrange(contracts.RQ_QUEUE + queue, -start - SLICE, -start - 1)
            missing.difference_update(ids)
            if len(ids) < SLICE:
                break
            start += SLICE
        return missing

    async def _mailboxes(self) -> AsyncIterator[list[tuple[str, str]]]:
        cursor, pattern = -1, contracts.MAILBOX + "*"
        while cursor != 0:
            cursor, keys = await self._redis.scan(max(cursor, 0), pattern, 1000, "list")
            for start in range(0, len(keys), BATCH):
                yield [(str(key).removeprefix(contracts.MAILBOX), "") for key in keys[start : start + BATCH]]

    async def _look(self, conversations: Sequence[tuple[str, str]], *, mend: bool = False) -> list[Stuck]:
        """Run the script on conversations, each with a proof or nothing."""
        found: list[Stuck] = []
        for start in range(0, len(conversations), BATCH):
            arguments = [part for pair in conversations[start : start + BATCH] for part in pair]
            rows = await AUDIT(self._redis, int(mend), *arguments)
            found += [Stuck(*row) for row in rows]
        return found

    async def _prove(self, suspects: Sequence[Stuck]) -> dict[str, str]:
        """The proofs of those that were overtaken and are not in their queue."""
        queues: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for one in suspects:
            if one.fault == "overtaken":
                queues[one.queue][one.message_id] = one.proof
        proven: dict[str, str] = {}
        for queue, proofs in queues.items():
            for message_id in await self.absent(queue, proofs):
                proven[proofs[message_id]] = proofs[message_id]
        return proven
