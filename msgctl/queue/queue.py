"""The queue as those see it who put messages in or look at them; `claims` is the worker's side."""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Literal, cast

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.messages import PRIORITIES, Message, WireStruct
from msgctl.queue.job import Job, job_data
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

CANCEL = Script.beside(__file__, "cancel")
ENQUEUE = Script.beside(__file__, "enqueue")
LINK_REPLACEMENT = Script.beside(__file__, "link_replacement")
PAUSE_QUEUES = Script.beside(__file__, "pause")
REPLAY = Script.beside(__file__, "replay")
DELETE_JOBS = Script.beside(__file__, "delete_jobs")


ReplayStatus = Literal["replayed", "missing", "not_failed"]


class EnqueueStatus(StrEnum):
    """What became of a message that was offered."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """It was accepted before: the same answer, no second run."""
    CONFLICT = "conflict"
    """Its id stands for something else."""
    OTHER_USER = "foreign"
    """The conversation belongs to another user."""
    MAILBOX_FULL = "full"
    """Its conversation has as many waiting messages as it may have."""
    USER_LIMIT = "crowded"
    """Its user has as many messages under way as it may have."""


class EnqueueResult(msgspec.Struct, frozen=True):
    """The queue's answer. The ids are those first given, where the message is a repetition."""

    status: EnqueueStatus
    message_id: str
    conversation_id: str


class Stats(WireStruct, kw_only=True, frozen=True):
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
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._actor = actor

    async def enqueue(
        self, message: Message, *, digest: str, idempotency_key: str = "", max_backlog: int = 0
    ) -> EnqueueResult:
        """Offer a message; once this returns ACCEPTED, it is stored and will be worked.

        Args:
            message: as it shall be worked.
            digest: of what a repetition must repeat, `Message.digest`.
            idempotency_key: a key of the client's own that stands for the message id; empty for none.
            max_backlog: messages its user may have under way; 0: no bound.
        """
        keep, history = self._settings.retention, self._settings.history
        verdict, message_id, conversation_id = await self._batch.run_script(
            ENQUEUE,
            message.message_id,
            message.user_id,
            message.conversation_id,
            keys.queue_name(message.priority),
            message.to_json(),
            digest,
            job_data(message.message_id),
            f"message {message.message_id}",
            message.channel,
            message.priority,
            idempotency_key,
            _to_ms(keep.identity),
            _to_ms(history.ttl),
            history.max_mailbox,
            self._actor,
            max_backlog,
            message.agent_id,
        )
        if verdict == EnqueueStatus.ACCEPTED:
            from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - 0.05 s, and few commands enqueue

            metrics.MESSAGES_ACCEPTED.labels(message.priority).inc()
        return EnqueueResult(EnqueueStatus(verdict), message_id, conversation_id)

    async def find(self, message_id: str) -> Job | None:
        """One message, or None if Redis does not know it."""
        fields = await self._redis.hgetall(keys.job_key(message_id))
        return Job.from_hash(fields)

    async def find_many(self, message_ids: Sequence[str]) -> list[Job | None]:
        """Several messages in one round trip, in the order asked for."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.hgetall(keys.job_key(message_id))
        return [Job.from_hash(fields) for fields in await pipeline.execute()]

    async def find_undelivered(self, message_ids: Sequence[str]) -> set[str]:
        """Those whose delivery is still to be made."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.zscore(keys.POSTPONED, message_id)
        due = await pipeline.execute() if message_ids else []
        return {message_id for message_id, at in zip(message_ids, due, strict=True) if at is not None}

    async def stats(self) -> Stats:
        """Count the messages in each state, in one round trip and without walking any of them."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(keys.RQ_SUSPENDED)
        pipeline.smembers(keys.PAUSED)
        pipeline.llen(keys.RQ_QUEUE + keys.QUARANTINE)
        for queue in keys.QUEUES:
            pipeline.llen(keys.RQ_QUEUE + queue)
            for registry in (keys.RQ_DEFERRED, keys.RQ_WIP, keys.RQ_FINISHED):
                pipeline.zcard(registry + queue)
            pipeline.zcard(keys.RQ_FAILED + queue)
            pipeline.zcard(keys.RQ_SCHEDULED + queue)
        suspended, names, quarantined, *counts = await pipeline.execute()
        backlogs = dict(zip(keys.QUEUES, map(sum, zip(counts[::6], counts[1::6], strict=True)), strict=True))
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
        for queue in keys.QUEUES:
            pipeline.lindex(keys.RQ_QUEUE + queue, 0)
        (seconds, microseconds), *heads = await pipeline.execute()
        for head in heads:
            pipeline.hget(keys.job_key(head or ""), keys.FIELD_READY)
        ready = zip(PRIORITIES, await pipeline.execute(), strict=True)
        now = seconds + microseconds / 1e6
        return {priority: max(0.0, now - int(value) / 1000) for priority, value in ready if value}

    async def live_workers(self) -> list[str]:
        """Names of the workers whose heartbeat has not run out."""
        key_names = sorted(await self._redis.smembers(keys.RQ_WORKERS))
        pipeline = self._redis.pipeline(transaction=False)
        for key in key_names:
            pipeline.hmget(key, "last_heartbeat", "death")
        alive = await pipeline.execute() if key_names else []
        return [
            key.removeprefix(keys.RQ_WORKER)
            for key, (heartbeat, death) in zip(key_names, alive, strict=True)
            if heartbeat and not death
        ]

    async def failed_ids(self, limit: int, offset: int = 0) -> list[str]:
        """Ids of dead letters, newest first."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.zrange(keys.RQ_FAILED + queue, 0, limit + offset - 1, desc=True, withscores=True)
        registries: list[list[tuple[str, float]]] = await pipeline.execute()
        found = sorted((entry for entries in registries for entry in entries), key=lambda entry: -entry[1])
        return [message_id for message_id, _ in found[offset : offset + limit]]

    async def replay(self, message_id: str) -> ReplayStatus:
        """Give a dead letter a fresh budget and put it at the head of its conversation."""
        return (await self.replay_many([message_id]))[0]

    async def replay_many(self, message_ids: Sequence[str]) -> list[ReplayStatus]:
        """The same for some hundreds at once, in one atomic step; what is missing stops nothing."""
        return cast(
            "list[ReplayStatus]",
            await REPLAY(self._redis, _to_ms(self._settings.history.ttl), *message_ids),
        )

    async def cancel(self, message_id: str, *, error: bytes, failure: bytes) -> str:
        """End a message that waits as a dead letter; `cancelled`, `missing`, or RQ's status of one that cannot be.

        Args:
            message_id: the message.
            error: JSON `{class, code, text, at}`.
            failure: JSON of a `Failure`, for its sender.
        """
        ttl = _to_ms(self._settings.retention.failed)
        return cast("str", await CANCEL(self._redis, message_id, ttl, error, failure))

    async def pause(self, queues: Sequence[str] = ()) -> None:
        """Let nobody claim from these queues any more; from none at all if no name is given."""
        await PAUSE_QUEUES(self._redis, "pause", *queues)

    async def resume(self, queues: Sequence[str] = ()) -> None:
        """Let workers claim from these queues again, and wake them; from all if no name is given."""
        await PAUSE_QUEUES(self._redis, "resume", *queues)

    async def list_paused(self) -> list[str]:
        """The queues nobody claims from, soonest first."""
        suspended = await self._redis.exists(keys.RQ_SUSPENDED)
        names: set[str] = await self._redis.smembers(keys.PAUSED)
        return [queue for queue in keys.QUEUES if suspended or queue in names]

    async def link_replacement(self, message_id: str, replacement_id: str) -> None:
        """Let a dead letter and the message that was sent in its place name each other; both are ids."""
        await LINK_REPLACEMENT(self._redis, message_id, replacement_id)

    async def ended_ids(self, status: Literal["finished", "failed"]) -> AsyncIterator[list[str]]:
        """Walk the ids of messages that are over, in batches of some hundreds, without holding Redis up.

        Args:
            status: RQ's word for completed messages or dead letters.
        """
        registry = keys.RQ_FINISHED if status == "finished" else keys.RQ_FAILED
        for queue in keys.QUEUES:
            cursor = -1
            while cursor != 0:
                cursor, entries = await self._redis.zscan(registry + queue, max(cursor, 0), count=500)
                yield [str(message_id) for message_id, _ in entries]

    async def delete_ended(
        self, status: Literal["finished", "failed"], ended_before: int, ids: Sequence[str]
    ) -> int:
        """Forget those of `ids` that ended with `status` before a time (Unix milliseconds); how many."""
        return cast("int", await DELETE_JOBS(self._redis, status, ended_before, *ids))


def _to_ms(seconds: float) -> int:
    return round(seconds * 1000)
