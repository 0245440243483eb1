"""The queue for producers, which enqueue messages, and for operators, who inspect and change it.

`leases` is the worker's side.
"""

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
    """The outcome of an attempt to enqueue a message."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """It was accepted before. The client gets the same answer, and the message does not run twice."""
    CONFLICT = "conflict"
    """Its id or key was used for a different message."""
    OTHER_USER = "foreign"
    """The conversation belongs to another user."""
    MAILBOX_FULL = "full"
    """Its conversation has reached the limit of waiting messages."""
    USER_LIMIT = "crowded"
    """Its user has reached the limit of messages in progress."""


class EnqueueResult(msgspec.Struct, frozen=True):
    """The outcome and the ids of the message. A repeated message gets the ids of the first one."""

    status: EnqueueStatus
    message_id: str
    conversation_id: str


class Stats(WireStruct, kw_only=True, frozen=True):
    """The number of messages in each state. Messages that wait in a paused queue count as paused."""

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
        redis: a client made by `connect`.
        settings: retention and the limits of a conversation.
        actor: the producer's name in the ledger.

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
        """Enqueue a message once. If the status is ACCEPTED, it is stored and will be processed.

        Args:
            message: the message to process.
            digest: `Message.digest` of the fields that a repeated message must repeat.
            idempotency_key: the client's own key for the message; empty for none.
            max_backlog: how many messages its user may have in progress; 0: no limit.
        """
        history = self._settings.history
        status, message_id, conversation_id = await self._batch.run_script(
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
            _to_ms(self._settings.retention.identity),
            _to_ms(history.ttl),
            history.max_mailbox,
            self._actor,
            max_backlog,
            message.agent_id,
        )
        if status == EnqueueStatus.ACCEPTED:
            from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - it takes 0.05 s, and few commands enqueue

            metrics.MESSAGES_ACCEPTED.labels(message.priority).inc()
        return EnqueueResult(EnqueueStatus(status), message_id, conversation_id)

    async def find(self, message_id: str) -> Job | None:
        """Return the job of a message, or None if Redis does not have it."""
        fields = await self._redis.hgetall(keys.job_key(message_id))
        return Job.from_hash(fields)

    async def find_many(self, message_ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs of several messages in their order, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.hgetall(keys.job_key(message_id))
        return [Job.from_hash(fields) for fields in await pipeline.execute()]

    async def find_undelivered(self, message_ids: Sequence[str]) -> set[str]:
        """Return those messages whose delivery is postponed and still to come."""
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in message_ids:
            pipeline.zscore(keys.POSTPONED, message_id)
        due = await pipeline.execute() if message_ids else []
        return {message_id for message_id, at in zip(message_ids, due, strict=True) if at is not None}

    async def stats(self) -> Stats:
        """Count the messages in each state, in one round trip and without reading any of them."""
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
        """Return the longest time in seconds that the head of a queue has waited; None if nothing waits."""
        return max((await self.oldest_waits()).values(), default=None)

    async def oldest_waits(self) -> dict[int, float]:
        """Return the seconds that the head of each queue has waited, by priority. Empty queues are omitted."""
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
        """Return the names of the workers whose heartbeat has not expired."""
        key_names = sorted(await self._redis.smembers(keys.RQ_WORKERS))
        pipeline = self._redis.pipeline(transaction=False)
        for key in key_names:
            pipeline.hmget(key, "last_heartbeat", "death")
        rows = await pipeline.execute() if key_names else []
        return [
            key.removeprefix(keys.RQ_WORKER)
            for key, (heartbeat, death) in zip(key_names, rows, strict=True)
            if heartbeat and not death
        ]

    async def replay(self, message_id: str) -> ReplayStatus:
        """Enqueue a dead letter again with all its attempts, next in its conversation."""
        return (await self.replay_many([message_id]))[0]

    async def replay_many(self, message_ids: Sequence[str]) -> list[ReplayStatus]:
        """Replay some hundreds of dead letters in one atomic step. A missing one does not stop the others."""
        return cast(
            "list[ReplayStatus]",
            await REPLAY(self._redis, _to_ms(self._settings.history.ttl), *message_ids),
        )

    async def cancel(self, message_id: str, *, error: bytes, failure: bytes) -> str:
        """End a waiting message as a dead letter; return `cancelled`, `missing`, or the status that prevents it.

        Args:
            message_id: the message.
            error: JSON `{class, code, text, at}`.
            failure: JSON of a `Failure` for its sender.
        """
        ttl = _to_ms(self._settings.retention.failed)
        return cast("str", await CANCEL(self._redis, message_id, ttl, error, failure))

    async def pause(self, queues: Sequence[str] = ()) -> None:
        """Stop workers from claiming from these queues; from all queues if no name is given."""
        await PAUSE_QUEUES(self._redis, "pause", *queues)

    async def resume(self, queues: Sequence[str] = ()) -> None:
        """Let workers claim from these queues again, and wake them; from all queues if no name is given."""
        await PAUSE_QUEUES(self._redis, "resume", *queues)

    async def list_paused(self) -> list[str]:
        """Return the paused queues, highest priority first."""
        suspended = await self._redis.exists(keys.RQ_SUSPENDED)
        names: set[str] = await self._redis.smembers(keys.PAUSED)
        return [queue for queue in keys.QUEUES if suspended or queue in names]

    async def link_replacement(self, message_id: str, replacement_id: str) -> None:
        """Make a dead letter and its replacement refer to each other, by their ids."""
        await LINK_REPLACEMENT(self._redis, message_id, replacement_id)

    async def ended_ids(self, status: Literal["finished", "failed"]) -> AsyncIterator[list[str]]:
        """Yield the ids of ended messages in batches of some hundreds, without blocking Redis.

        Args:
            status: RQ's status of completed messages or of dead letters.
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
        """Delete those of `ids` that ended with `status` before a time (Unix milliseconds); return how many."""
        return cast("int", await DELETE_JOBS(self._redis, status, ended_before, *ids))


def _to_ms(seconds: float) -> int:
    return round(seconds * 1000)
