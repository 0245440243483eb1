"""The worker's side of the queue: claim, keep, commit, fail, hand back; each one atomic script."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import cast

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.messages import Failure, Message, Reply, Turn, UnnumberedResponse, target_socket_id
from msgctl.domain.retry import GiveUp, RetryLater
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

CLAIM = Script.beside(__file__, "claim")
COMMIT = Script.beside(__file__, "commit")
REQUEUE_UNKNOWN = Script.beside(__file__, "requeue_unknown")
FAIL = Script.beside(__file__, "fail")
REQUEUE = Script.beside(__file__, "requeue")
HEARTBEAT = Script.beside(__file__, "heartbeat")
PARK = Script.beside(__file__, "park")
MAINTAIN_QUEUE = Script.beside(__file__, "maintain")
WRITE_PROGRESS = Script.beside(__file__, "update_progress")

log = logs.get_logger(__name__)

_message_decoder = msgspec.json.Decoder(Message)
_history_decoder = msgspec.json.Decoder(list[Turn])

CRASH_ERROR_JSON = (
    b'{"class":"crash","code":"worker_crashed","text":"The worker that ran it was lost, repeatedly."}'
)
HEARTBEAT_GRACE_S = 5.0
"""Seconds beyond its lease after which a silent worker counts as gone."""
COALESCE_WINDOW_S = 0.02
"""Seconds a note waits for others. A message that is committed within them takes its notes along, which saves
three of eight round trips at 50 messages a second."""


class LeasedMessage(msgspec.Struct, frozen=True):
    """A message under this worker's lease."""

    message: Message
    run: int
    """The number of this run of the message; with its id, the name of the lease."""
    attempts: int
    """Counted attempts before this one."""
    snoozes: int
    """How often in a row it was snoozed because a dependency was down."""
    history: Sequence[Turn] = ()
    """The last turns of its conversation, oldest first, as many as `history.turns` says."""
    stored_reply: Reply | None = None
    """What n8n answered in a run whose lease was lost before the commit: delivered, not asked for again."""

    @property
    def lease(self) -> str:
        """`id:run`, as RQ names an execution."""
        return f"{self.message.message_id}:{self.run}"


class CommitResult(msgspec.Struct, frozen=True):
    """Where a response went."""

    seq: int
    stream_id: str


class OperatorCommand(StrEnum):
    """What an operator can tell a worker."""

    DRAIN = "drain"
    """Finish what runs, take nothing new until told otherwise."""
    STOP = "stop"
    """Finish what runs, and leave."""


class MaintenanceResult(msgspec.Struct, frozen=True):
    """What looking after everybody's messages came to."""

    promoted: int
    """Messages whose pause was over."""
    reaped: int
    """Messages whose lease had run out."""
    dead_lettered: int
    """Those of them that are dead letters now."""
    quarantined: int
    """Messages that wait in the quarantine, and may be worked."""


class LeaseClient:
    """What one worker holds, and every way to gain or let go of it.

    Args:
        redis: a client of `redisdb.connect`.
        settings: lease, limits and retention.
        worker: the worker's name, unique among all that live.

    Each method raises RedisUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisClient, settings: Settings, worker: str) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)
        self._settings = settings
        self._worker = worker
        self._lease_ms = round(settings.worker.lease * 1000)
        self.registered = True
        """Whether RQ knew this worker at its last sign of life."""

    async def claim(self, max_messages: int, *, quarantine: bool = False) -> list[LeasedMessage]:
        """Take up to `slots` messages; with slots left over, the next message wakes this worker.

        Args:
            max_messages: how many may be taken, at least 1.
            quarantine: take from the quarantine and from nowhere else; such a worker is not woken.
        """
        from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - commands read claims, and count none

        max_wait, ticket = round(self._settings.worker.max_wait * 1000), secrets.token_hex(8)
        manner = (self._lease_ms, max_wait, int(quarantine), ticket, self._settings.history.turns)
        rows = await self._batch.run_script(
            CLAIM, self._worker, max_messages, *manner, first=True
        )  # slots stand idle
        claimed = []
        for message_id, run, text, attempts, snoozes, conversation_id, kept, turns in rows:
            message = _decode_message(text)
            if message and (message.message_id, message.conversation_id) == (message_id, conversation_id):
                claimed.append(
                    LeasedMessage(
                        message, run, attempts, snoozes, _decode_history(turns), _decode_stored_reply(kept)
                    )
                )
                metrics.MESSAGES_CLAIMED.labels(message.priority).inc()
            else:
                await self._park(message_id, run)
        return claimed

    async def heartbeat(self, leases: Sequence[str], state: str) -> list[str]:
        """Tell that this worker lives and renew its leases; return those it has lost.

        Args:
            leases: `id:run` of everything it runs.
            state: `busy` or `idle`, as RQ's tools show it.
        """
        ttl = round(self._settings.worker.lease + HEARTBEAT_GRACE_S)
        known, *lost = await HEARTBEAT(self._redis, self._worker, self._lease_ms, ttl, state, *leases)
        self.registered = bool(known)
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
    ) -> CommitResult | None:
        """Finish a message and hand its response over, in one step; None if the lease is lost.

        Args:
            leased: what was worked.
            response: what the agent said; its number and its stream entry are given here.
            turns: the customer's and the agent's, for the history.
            unreported_progress: the progress not yet published, `ProgressWriter.take_unwritten`.
            steps: how long each step took, `step:ms,…`, for the ledger.
            execution: n8n's id of the execution, where it tells one.
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
        )
        return CommitResult(*row) if row else None

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
    ) -> bool:
        """End an attempt without an answer; False if the lease is lost.

        Args:
            leased: what was worked.
            decision: of `retry.decide`.
            error: JSON `{class, code, text, at}`, the message's last error.
            record: JSON of this run, kept with the message.
            failure: told to the sender if this was the end; its code goes into the ledger.
            fault: the class of the error, for the ledger.
            steps: how long each step took, `step:ms,…`, for the ledger.
        """
        later = decision if isinstance(decision, RetryLater) else None
        kept = await self._batch.run_script(
            FAIL,
            leased.message.message_id,
            leased.run,
            round(later.delay * 1000) if later else -1,
            int(later.counts_as_attempt) if later else 1,
            error,
            record,
            round(self._settings.retention.failed * 1000),
            failure.to_json(),
            fault,
            failure.code,
            steps,
        )
        return bool(kept)

    async def requeue(self, leased: Sequence[LeasedMessage]) -> int:
        """Give messages to the other workers, charging nothing; how many were still ours."""
        arguments = [part for one in leased for part in (one.message.message_id, one.run)]
        return cast("int", await REQUEUE(self._redis, *arguments))

    async def requeue_unknown(self, known_leases: Sequence[str]) -> int:
        """After the reply of a claim got lost: hand back what Redis says we run and is not in `known` (`id:run`).

        It goes the way of the claims, one after the other, so that none is still on its way behind it.
        """
        return cast("int", await self._batch.run_script(REQUEUE_UNKNOWN, self._worker, *known_leases))

    async def maintain(self) -> MaintenanceResult:
        """Promote what is due, reap what lost its worker, expire what is over."""
        from msgctl.observability.metrics import definitions as metrics  # noqa: PLC0415 - as above

        worker, keep = self._settings.worker, self._settings.retention
        row = await MAINTAIN_QUEUE(
            self._redis,
            *(200, worker.max_crashes, round(keep.failed * 1000), CRASH_ERROR_JSON, self._settings.events.stream),
        )
        tended = MaintenanceResult(*row)
        metrics.CRASHES.inc(tended.reaped)
        metrics.DEAD_LETTERS.inc(tended.dead_lettered)
        return tended

    async def acquire_quarantine_lock(self, ttl_s: float) -> bool:
        """Become, or stay, the one worker that works the quarantine; False if another is."""
        keeper, ttl = keys.QUARANTINE_KEEPER, round(ttl_s * 1000)
        if await self._redis.set(keeper, self._worker, px=ttl, nx=True):
            return True
        if await self._redis.get(keeper) != self._worker:
            return False
        return bool(await self._redis.pexpire(keeper, ttl))

    async def _park(self, message_id: str, run: int) -> None:
        """Set a message aside that cannot be read; its conversation goes on without it."""
        log.error("A job hash cannot be read and is parked", messageId=message_id)
        await PARK(self._redis, message_id, run)

    async def read_command(self) -> OperatorCommand | None:
        """What an operator told this worker, if that is still in force."""
        told = await self._redis.get(keys.ORDER + self._worker)
        return OperatorCommand(told) if told in set(OperatorCommand) else None

    async def deregister(self) -> None:
        """Be woken no more."""
        await self._redis.srem(keys.IDLE_WORKERS, self._worker)
        await self._redis.delete(keys.WAKE + self._worker, keys.CLAIMED + self._worker)


class ProgressWriter:
    """A notebook that one task empties into Redis, all notes of the moment in one call.

    A note lost to a Redis outage is not repeated: the next one says more.

    Args:
        redis: a client of `redisdb.connect`.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._unwritten: dict[str, tuple[LeasedMessage, list[int]]] = {}
        self._has_unwritten = asyncio.Event()

    def record(self, leased: LeasedMessage, progress: int) -> None:
        """Remember that a message has come to `progress` (0 to 100)."""
        self._unwritten.setdefault(leased.lease, (leased, []))[1].append(progress)
        self._has_unwritten.set()

    def take_unwritten(self, leased: LeasedMessage) -> list[int]:
        """What is noted of a message and not written yet; whoever takes it must tell it."""
        return self._unwritten.pop(leased.lease, (leased, []))[1]

    async def flush(self, leased: LeasedMessage) -> None:
        """Write what is noted of one message now."""
        if passed := self.take_unwritten(leased):
            with suppress(RedisUnavailable):
                await self._write({leased.lease: (leased, passed)})

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._has_unwritten.wait()
            await asyncio.sleep(COALESCE_WINDOW_S)
            self._has_unwritten.clear()
            notes, self._unwritten = self._unwritten, {}
            try:
                if notes:
                    await self._write(notes)
            except RedisUnavailable:
                log.debug("progress was not written", notes=len(notes))

    async def _write(self, notes: dict[str, tuple[LeasedMessage, list[int]]]) -> None:
        arguments: list[str | bytes | float] = []
        for claimed, passed in notes.values():
            message = claimed.message
            arguments += (
                message.message_id,
                claimed.run,
                " ".join(map(str, passed)),
                encode_progress_prefix(message),
            )
        await WRITE_PROGRESS(self._redis, *arguments)


def _decode_message(text: str) -> Message | None:
    try:
        return _message_decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _decode_history(turns: list[str]) -> list[Turn]:
    """All turns at once; none where another program has put something else among them: other messages wait too."""
    try:
        return _history_decoder.decode(f"[{','.join(turns)}]")
    except (msgspec.MsgspecError, RecursionError):
        log.error("A history cannot be read; its message is worked without")  # noqa: TRY400 - a traceback says no more
        return []


def _decode_stored_reply(draft: str) -> Reply | None:
    """The reply in a response as COMMIT keeps it: without its closing brace."""
    try:
        return msgspec.json.decode(f"{draft}}}", type=UnnumberedResponse).response if draft else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def encode_progress_prefix(message: Message) -> bytes:
    """What observers of progress hear, as JSON, up to the number."""
    event = {
        "messageId": message.message_id,
        "conversationId": message.conversation_id,
        "userId": message.user_id,
    }
    return msgspec.json.encode(event)[:-1] + b',"progress":'
