"""The queue as those see it who put messages in or look at them; `claims` is the worker's side."""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Literal, cast

import msgspec

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.messages import PRIORITIES, Message, Record
from msgctl.redisdb.batch import Batch
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script
from msgctl.rqueue.job import Job, job_data

CANCEL = Script.beside(__file__, "cancel")
ENQUEUE = Script.beside(__file__, "enqueue")
LINK = Script.beside(__file__, "link_replacement")
PAUSE = Script.beside(__file__, "pause")
REPLAY = Script.beside(__file__, "replay")
REMOVE = Script.beside(__file__, "delete_jobs")


Outcome = Literal["replayed", "missing", "not_failed"]


class Verdict(StrEnum):
    """What became of a message that was offered."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """It was accepted before: the same answer, no second run."""
    CONFLICT = "conflict"
    """Its id stands for something else."""
    FOREIGN = "foreign"
    """The conversation belongs to another user."""
    FULL = "full"
    """Its conversation has as many waiting messages as it may have."""
    CROWDED = "crowded"
    """Its user has as many messages under way as it may have."""


class Enqueued(msgspec.Struct, frozen=True):
    """The queue's answer. The ids are those first given, where the message is a repetition."""

    verdict: Verdict
    message_id: str
    conversation_id: str


class Stats(Record, kw_only=True, frozen=True):
    """How many messages are in which state. Those that wait in a paused queue count as paused."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: int
    total: int
    """The sum of the other six."""


class Queue:
    """The ten RQ queues `messages:1` … `messages:10` as one.

    Args:
        redis: a client of `redisdb.connect`.
        settings: retention and the limits of a conversation.
        actor: who puts messages in, as the ledger names it.

    Each method raises RedisUnavailable when Redis does not answer or refuses writes.
    """

    def __init__(self, redis: RedisClient, settings: Settings, *, actor: str = "operator") -> None:
        self._redis = redis
        self._batch = Batch(redis)
        self._settings = settings
        self._actor = actor

    async def enqueue(
        self, message: Message, *, digest: str, idempotency_key: str = "", max_backlog: int = 0
    ) -> Enqueued:
        """Offer a message; once this returns ACCEPTED, it is stored and will be worked.

        Args:
            message: as it shall be worked.
            digest: of what a repetition must repeat, `Message.digest`.
            idempotency_key: a key of the client's own that stands for the message id; empty for none.
            max_backlog: messages its user may have under way; 0: no bound.
        """
        keep, history = self._settings.retention, self._settings.history
        verdict, message_id, conversation_id = await self._batch.run(
            ENQUEUE,
            message.message_id,
            message.user_id,
            message.conversation_id,
            contracts.queue_name(message.priority),
            message.to_json(),
            digest,
            job_data(message.message_id),
            f"message {message.message_id}",
            message.channel,
            message.priority,
            idempotency_key,
            _milliseconds(keep.identity),
            _milliseconds(history.ttl),
            history.max_mailbox,
            self._actor,
            max_backlog,
            message.agent_id,
        )
        if verdict == Verdict.ACCEPTED:
            from msgctl.metrics import definitions as metrics  # noqa: PLC0415 - 0.05 s, and few commands enqueue

            metrics.ACCEPTED.labels(message.priority).inc()
        return Enqueued(Verdict(verdict), message_id, conversation_id)

    async def find(self, message_id: str) -> Job | None:
        """One message, or None if Redis does not know it."""
        fields = await self._redis.hgetall(contracts.job_key(message_id))
        return Job.from_hash(fields)

    async def find_many(self, message_ids: Sequence[str]) -> list[Job | None]:
        """Several messages in one round trip, in the order asked for."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.hgetall(contracts.job_key(message_id))
        return [Job.from_hash(fields) for fields in await pipeline.execute()]

    async def untold(self, message_ids: Sequence[str]) -> set[str]:
        """Those whose delivery is still to be made."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.zscore(contracts.POSTPONED, message_id)
        due = await pipeline.execute() if message_ids else []
        return {message_id for message_id, at in zip(message_ids, due, strict=True) if at is not None}

    async def stats(self) -> Stats:
        """Count the messages in each state, in one round trip and without walking any of them."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(contracts.RQ_SUSPENDED)
        pipeline.smembers(contracts.PAUSED)
        pipeline.llen(contracts.RQ_QUEUE + contracts.QUARANTINE)
        for queue in contracts.QUEUES:
            pipeline.llen(contracts.RQ_QUEUE + queue)
            for registry in (contracts.RQ_DEFERRED, contracts.RQ_WIP, contracts.RQ_FINISHED):
                pipeline.zcard(registry + queue)
            pipeline.zcard(contracts.RQ_FAILED + queue)
            pipeline.zcard(contracts.RQ_SCHEDULED + queue)
        suspended, names, quarantined, *counts = await pipeline.execute()
        backlogs = dict(zip(contracts.QUEUES, map(sum, zip(counts[::6], counts[1::6], strict=True)), strict=True))
        active, completed, failed, delayed = (sum(counts[i::6]) for i in range(2, 6))
        waiting = quarantined + sum(backlogs.values())
        paused = waiting if suspended else sum(backlogs.get(name, 0) for name in names)
        return Stats(
            waiting=waiting - paused,
            active=active,
            completed=completed,
            failed=failed,
            delayed=delayed,
            paused=paused,
            total=waiting + active + completed + failed + delayed,
        )

    async def oldest_wait(self) -> float | None:
        """Seconds the longest-waiting head of a queue has waited; None if nothing waits."""
        return max((await self.oldest_waits()).values(), default=None)

    async def oldest_waits(self) -> dict[int, float]:
        """Seconds the head of each queue has waited, by priority; those where nothing waits are left out."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for queue in contracts.QUEUES:
            pipeline.lindex(contracts.RQ_QUEUE + queue, 0)
        (seconds, microseconds), *heads = await pipeline.execute()
        for head in heads:
            pipeline.hget(contracts.job_key(head or ""), contracts.FIELD_READY)
        ready = zip(PRIORITIES, await pipeline.execute(), strict=True)
        now = seconds + microseconds / 1e6
        return {priority: max(0.0, now - int(value) / 1000) for priority, value in ready if value}

    async def live_workers(self) -> list[str]:
        """Names of the workers whose heartbeat has not run out."""
        keys = sorted(await self._redis.smembers(contracts.RQ_WORKERS))
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hmget(key, "last_heartbeat", "death")
        alive = await pipeline.execute() if keys else []
        return [
            key.removeprefix(contracts.RQ_WORKER)
            for key, (heartbeat, death) in zip(keys, alive, strict=True)
            if heartbeat and not death
        ]

    async def failed_ids(self, limit: int, offset: int = 0) -> list[str]:
        """Ids of dead letters, newest first."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in contracts.QUEUES:
            pipeline.zrange(contracts.RQ_FAILED + queue, 0, limit + offset - 1, desc=True, withscores=True)
        registries: list[list[tuple[str, float]]] = await pipeline.execute()
        found = sorted((entry for entries in registries for entry in entries), key=lambda entry: -entry[1])
        return [message_id for message_id, _ in found[offset : offset + limit]]

    async def replay(self, message_id: str) -> Outcome:
        """Give a dead letter a fresh budget and put it at the head of its conversation."""
        return (await self.replay_many([message_id]))[0]

    async def replay_many(self, message_ids: Sequence[str]) -> list[Outcome]:
        """The same for some hundreds at once, in one atomic step; what is missing stops nothing."""
        return cast(
            "list[Outcome]",
            await REPLAY(self._redis, _milliseconds(self._settings.history.ttl), *message_ids),
        )

    async def cancel(self, message_id: str, *, error: bytes, failure: bytes) -> str:
        """End a message that waits as a dead letter; `cancelled`, `missing`, or RQ's status of one that cannot be.

        Args:
            message_id: the message.
            error: JSON `{class, code, text, at}`.
            failure: JSON of a `Failure`, for its sender.
        """
        ttl = _milliseconds(self._settings.retention.failed)
        return cast("str", await CANCEL(self._redis, message_id, ttl, error, failure))

    async def pause(self, queues: Sequence[str] = ()) -> None:
        """Let nobody claim from these queues any more; from none at all if no name is given."""
        await PAUSE(self._redis, "pause", *queues)

    async def resume(self, queues: Sequence[str] = ()) -> None:
        """Let workers claim from these queues again, and wake them; from all if no name is given."""
        await PAUSE(self._redis, "resume", *queues)

    async def paused(self) -> list[str]:
        """The queues nobody claims from, soonest first."""
        suspended = await self._redis.exists(contracts.RQ_SUSPENDED)
        names: set[str] = await self._redis.smembers(contracts.PAUSED)
        return [queue for queue in contracts.QUEUES if suspended or queue in names]

    async def link(self, message_id: str, edition: str) -> None:
        """Let a dead letter and the message that was sent in its place name each other; both are ids."""
        await LINK(self._redis, message_id, edition)

    async def ended_ids(self, status: Literal["finished", "failed"]) -> AsyncIterator[list[str]]:
        """Walk the ids of messages that are over, in batches of some hundreds, without holding Redis up.

        Args:
            status: RQ's word for completed messages or dead letters.
        """
        registry = contracts.RQ_FINISHED if status == "finished" else contracts.RQ_FAILED
        for queue in contracts.QUEUES:
            cursor = -1
            while cursor != 0:
                cursor, entries = await self._redis.zscan(registry + queue, max(cursor, 0), count=500)
                yield [str(message_id) for message_id, _ in entries]

    async def remove(self, status: Literal["finished", "failed"], ended_before: int, ids: Sequence[str]) -> int:
        """Forget those of `ids` that ended with `status` before a time (Unix milliseconds); how many."""
        return cast("int", await REMOVE(self._redis, status, ended_before, *ids))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
