"""The worker's side of the queue: claim, renew, commit, fail, and requeue messages. Each is one atomic script."""

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, cast

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.errors import FaultClass
from msgctl.domain.messages import Failure, Message, Reply, Turn, UnnumberedResponse, target_socket_id
from msgctl.domain.retry import GiveUp, RetryLater
from msgctl.observability import logs
from msgctl.queue.progress import encode_progress_prefix
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

CLAIM = Script.beside(__file__, "claim")
COMMIT = Script.beside(__file__, "commit")
FINISH_SILENTLY = Script.beside(__file__, "finish_silently")
REQUEUE_UNKNOWN = Script.beside(__file__, "requeue_unknown")
FAIL = Script.beside(__file__, "fail")
REQUEUE = Script.beside(__file__, "requeue")
HEARTBEAT = Script.beside(__file__, "heartbeat")
PARK = Script.beside(__file__, "park")
MAINTAIN_QUEUE = Script.beside(__file__, "maintain")

log = logs.get_logger(__name__)

_message_decoder = msgspec.json.Decoder(Message)
_history_decoder = msgspec.json.Decoder(list[Turn])

CRASH_ERROR_JSON = (
    b'{"class":"crash","code":"worker_crashed","text":"The worker that ran it was lost, repeatedly."}'
)
MAINTENANCE_BATCH_SIZE = 200
"""Messages that one maintenance run promotes from each queue, or reaps, at most."""
HEARTBEAT_GRACE_S = 5.0
"""Seconds beyond its lease after which a worker without a heartbeat counts as dead."""


class LeasedMessage(msgspec.Struct, frozen=True):
    """A message that this worker holds the lease of."""

    message: Message
    run: int
    """The number of this run. With the message id it identifies the lease."""
    attempts: int
    """Counted attempts before this one."""
    snoozes: int
    """How many times in a row it was snoozed."""
    history: Sequence[Turn] = ()
    """The latest turns of its conversation, oldest first, at most `history.turns`."""
    stored_reply: Reply | None = None
    """The reply of an earlier run that lost its lease before the commit. It is used instead of another call."""
    down_for_s: float = 0.0
    """Seconds, at the claim, since n8n first answered this message that it is down."""

    @property
    def lease(self) -> str:
        """The name of the lease, `id:run`, as RQ names an execution."""
        return f"{self.message.message_id}:{self.run}"


class N8nWait(msgspec.Struct, frozen=True):
    """Why a snoozed message waits for n8n. The return of n8n ends the wait before its pause is over."""

    reason: Literal["refused", "down", "doubtful"]
    """`refused`: no connection was made; `down`: an answer said that all of n8n is down; `doubtful`: an answer
    may speak for one workflow only, until a probe fails as well."""
    release_after_s: float = 0.0
    """Seconds for which n8n asked not to be called again."""


class CommitResult(msgspec.Struct, frozen=True):
    """The number and the stream entry of a committed response."""

    seq: int
    stream_id: str


class OperatorCommand(StrEnum):
    """A command of an operator to a worker."""

    DRAIN = "drain"
    """Finish the messages in flight and claim no others until the command is withdrawn."""
    STOP = "stop"
    """Finish the messages in flight and exit."""


class MaintenanceResult(msgspec.Struct, frozen=True):
    """How many messages one maintenance run moved."""

    promoted: int
    """Delayed messages that were queued again."""
    reaped: int
    """Messages whose lease had expired."""
    dead_lettered: int
    """Reaped messages that became dead letters."""
    quarantined: int
    """Messages in the quarantine that may be claimed."""


class LeaseClient:
    """The leases of one worker.

    Args:
        redis: a client made by `connect`.
        settings: lease, limits, and retention.
        worker: the worker's name, unique among live workers.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient, settings: Settings, worker: str) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._worker = worker
        self._lease_ms = round(settings.worker.lease * 1000)
        self.registered = True
        """Whether RQ knew this worker at its last heartbeat."""

    async def claim(self, max_messages: int, *, quarantine: bool = False) -> list[LeasedMessage]:
        """Claim messages. If fewer than `max_messages` are ready, the next queued message wakes this worker.

        Args:
            max_messages: how many to claim at most, at least 1.
            quarantine: claim only from the quarantine. Such a worker is not woken.
        """
        from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - commands import leases and need no metrics

        rows = await self._batch.run_script(
            CLAIM,
            self._worker,
            max_messages,
            self._lease_ms,
            round(self._settings.worker.max_wait * 1000),
            int(quarantine),
            secrets.token_hex(8),
            self._settings.history.turns,
            first=True,  # free slots wait for it
        )
        leased = []
        for message_id, run, text, attempts, snoozes, conversation_id, draft, turns, down_for_ms in rows:
            message = _decode_message(text)
            if message and (message.message_id, message.conversation_id) == (message_id, conversation_id):
                history, stored_reply = _decode_history(turns), _decode_stored_reply(draft)
                leased.append(
                    LeasedMessage(message, run, attempts, snoozes, history, stored_reply, down_for_ms / 1000)
                )
                metrics.MESSAGES_CLAIMED.labels(message.priority).inc()
            else:
                await self._park(message_id, run)
        return leased

    async def heartbeat(self, leases: Sequence[str], state: str) -> list[str]:
        """Send a heartbeat, renew this worker's leases, and return those that it has lost.

        Args:
            leases: `id:run` of each message in flight.
            state: `busy` or `idle`, for RQ's tools.
        """
        ttl_s = round(self._settings.worker.lease + HEARTBEAT_GRACE_S)
        registered, *lost = await HEARTBEAT(self._redis, self._worker, self._lease_ms, ttl_s, state, *leases)
        self.registered = bool(registered)
        return cast("list[str]", lost)

    async def commit(
        self,
        leased: LeasedMessage,
        response: UnnumberedResponse,
        turns: tuple[Turn, Turn],
        *,
        unreported_progress: Sequence[int] = (),
        steps: str = "",
        execution: str = "",
        warnings: str = "",
    ) -> CommitResult | None:
        """Complete a message and append its response to the response stream; None if the lease is lost.

        Args:
            leased: the message.
            response: the agent's reply. The script gives it its number and its stream entry.
            turns: the customer's turn and the agent's, for the history.
            unreported_progress: the progress not yet published, from `ProgressWriter.take_unwritten`.
            steps: the duration of each step, `step:ms,…`, for the ledger.
            execution: n8n's id of the execution; empty if unknown.
            warnings: what was wrong with the answer, for the ledger; nothing of the answer itself.
        """
        history = self._settings.history
        row = await self._batch.run_script(
            COMMIT,
            leased.message.message_id,
            leased.run,
            response.to_json()[:-1],
            turns[0].to_json(),
            turns[1].to_json(),
            history.turns,
            history.replies,
            round(history.ttl * 1000),
            round(self._settings.retention.completed * 1000),
            encode_progress_prefix(leased.message),
            steps,
            execution,
            " ".join(map(str, unreported_progress)),
            target_socket_id(response),
            warnings,
        )
        return CommitResult(*row) if row else None

    async def finish_silently(
        self,
        leased: LeasedMessage,
        turn: Turn,
        *,
        unreported_progress: Sequence[int] = (),
        steps: str = "",
        execution: str = "",
        warnings: str = "",
    ) -> bool:
        """Complete a message without a reply; return False if the lease is lost.

        Args:
            leased: the message.
            turn: the customer's turn, for the history.
            unreported_progress: the progress not yet published.
            steps: the duration of each step, as in `commit`.
            execution: n8n's id of the execution; empty if unknown.
            warnings: what was wrong with the answer, as in `commit`.
        """
        history = self._settings.history
        finished = await self._batch.run_script(
            FINISH_SILENTLY,
            leased.message.message_id,
            leased.run,
            turn.to_json(),
            history.turns,
            round(history.ttl * 1000),
            round(self._settings.retention.completed * 1000),
            encode_progress_prefix(leased.message),
            steps,
            execution,
            " ".join(map(str, unreported_progress)),
            warnings,
        )
        return bool(finished)

    async def fail(
        self,
        leased: LeasedMessage,
        decision: RetryLater | GiveUp,
        *,
        error: bytes,
        record: bytes,
        failure: Failure,
        fault: str = "",
        steps: str = "",
        wait: N8nWait | None = None,
    ) -> bool:
        """End a run without an answer; return False if the lease is lost.

        Args:
            leased: the message.
            decision: made by `retry.decide`.
            error: JSON `{class, code, text, at}`, stored as the message's last error.
            record: JSON of this run, stored with the message.
            failure: sent to the sender if the message becomes a dead letter. Its code goes into the ledger.
            fault: the class of the error, for the ledger.
            steps: the duration of each step, `step:ms,…`, for the ledger.
            wait: why a snoozed message waits for n8n; None if it does not.
        """
        later = decision if isinstance(decision, RetryLater) else None
        recorded = await self._batch.run_script(
            FAIL,
            leased.message.message_id,
            leased.run,
            round(later.delay * 1000) if later else -1,
            int(later.counts_as_attempt if later else fault != FaultClass.DEPENDENCY),
            error,
            record,
            round(self._settings.retention.failed * 1000),
            failure.to_json(),
            fault,
            failure.code,
            steps,
            wait.reason if wait else "",
            round(wait.release_after_s * 1000) if wait else 0,
        )
        return bool(recorded)

    async def requeue(self, leased: Sequence[LeasedMessage]) -> int:
        """Requeue messages and return how many were still leased."""
        arguments = [part for lease in leased for part in (lease.message.message_id, lease.run)]
        return cast("int", await REQUEUE(self._redis, *arguments))

    async def requeue_unknown(self, known_leases: Sequence[str]) -> int:
        """Requeue the messages that Redis leases to this worker and that are not in `known_leases` (`id:run`).

        This is for a claim whose reply was lost. It is sent through the pipeline of the claims, so that no claim
        is in flight meanwhile.
        """
        return cast("int", await self._batch.run_script(REQUEUE_UNKNOWN, self._worker, *known_leases))

    async def maintain(self) -> MaintenanceResult:
        """Promote due messages, reap expired leases, and remove expired jobs from the registries."""
        from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - as in claim

        worker, retention = self._settings.worker, self._settings.retention
        row = await MAINTAIN_QUEUE(
            self._redis,
            MAINTENANCE_BATCH_SIZE,
            worker.max_crashes,
            round(retention.failed * 1000),
            CRASH_ERROR_JSON,
            self._settings.events.stream,
        )
        result = MaintenanceResult(*row)
        metrics.CRASHES.inc(result.reaped)
        metrics.DEAD_LETTERS.inc(result.dead_lettered)
        return result

    async def acquire_quarantine_lock(self, ttl_s: float) -> bool:
        """Acquire or extend the quarantine lock for `ttl_s` seconds; return False if another worker has it."""
        key, ttl_ms = keys.QUARANTINE_KEEPER, round(ttl_s * 1000)
        if await self._redis.set(key, self._worker, px=ttl_ms, nx=True):
            return True
        if await self._redis.get(key) != self._worker:
            return False
        return bool(await self._redis.pexpire(key, ttl_ms))

    async def _park(self, message_id: str, run: int) -> None:
        """Set a message aside that cannot be read. Its conversation continues without it."""
        log.error("Job hash cannot be read and is parked", messageId=message_id)
        await PARK(self._redis, message_id, run)

    async def read_command(self) -> OperatorCommand | None:
        """Return the operator's command to this worker that is in force, or None."""
        command = await self._redis.get(keys.ORDER + self._worker)
        return OperatorCommand(command) if command in set(OperatorCommand) else None

    async def deregister(self) -> None:
        """Remove this worker from the idle workers, so that nothing wakes it any more."""
        await self._redis.srem(keys.IDLE_WORKERS, self._worker)
        await self._redis.delete(keys.WAKE + self._worker, keys.CLAIMED + self._worker)


def _decode_message(text: str) -> Message | None:
    try:
        return _message_decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _decode_history(turns: list[str]) -> list[Turn]:
    """Return all turns, or none if one of them is invalid: a broken history must not stop its conversation."""
    try:
        return _history_decoder.decode(f"[{','.join(turns)}]")
    except (msgspec.MsgspecError, RecursionError):
        log.error("History cannot be read; its message is processed without it")  # noqa: TRY400 - a traceback says no more
        return []


def _decode_stored_reply(draft: str) -> Reply | None:
    """Return the reply in a response that COMMIT stored without its closing brace."""
    try:
        return msgspec.json.decode(f"{draft}}}", type=UnnumberedResponse).response if draft else None
    except (msgspec.MsgspecError, RecursionError):
        return None
