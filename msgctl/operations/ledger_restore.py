"""Comparing the ledger with Redis, and restoring unfinished messages to a Redis that lost them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from msgctl.domain.messages import Message, State, WireStruct
from msgctl.ledger.archive import LedgerArchive, UnfinishedMessage
from msgctl.ledger.event import EventState, fold_states
from msgctl.ledger.stream import Ledger
from msgctl.operations.context import Context, Operation
from msgctl.queue.queue import EnqueueStatus, Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis import keys

CONFIRMATIONS = 3
"""Looks in which a difference must be found. The system changes during a look."""
CONFIRMATION_INTERVAL_S = 0.5
"""Seconds between two looks."""
KEY_SCAN_COUNT = 500

_message_decoder = msgspec.json.Decoder(Message)


class StateDifference(WireStruct, kw_only=True, frozen=True):
    """A message whose state in Redis is not the state that its events lead to."""

    message_id: str
    rebuilt: str
    """The state that the events lead to. Empty: the ledger does not know it."""
    live: str
    """The state in Redis. Empty: Redis does not know it."""


class RestoreOutcome(WireStruct, kw_only=True, frozen=True):
    """The outcome for one unfinished message."""

    message_id: str
    outcome: str
    """`restored`, `would_restore`, `present`, `doubtful`, or `known`."""


class LedgerRestore(Operation):
    """Compares the ledger with Redis, and restores messages from it.

    Each method raises RedisUnavailable, PostgresUnavailable, or ConfigurationError if the tables do not exist.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._queue = Queue(context.redis, context.settings, actor="restore")
        self._ledger = Ledger(context.redis)

    async def compare(self) -> tuple[int, list[StateDifference]]:
        """Return the number of messages that were compared, and those whose states differ."""
        async with Database(self._settings) as database:
            archive = LedgerArchive(database)
            position = await archive.read_position()
            count, suspects = 0, dict[str, EventState | None]()
            async for batch in archive.iter_states():
                count += len(batch)
                kept = {one: state for one, (state, at) in batch.items() if not self._may_have_expired(state, at)}
                suspects |= await self._find_differences(kept)
            suspects |= dict.fromkeys(await self._unknown_to_archive(archive))
        for _ in range(CONFIRMATIONS):
            tail = await self._unprojected_states(position)
            suspects = await self._find_differences({one: tail.get(one, state) for one, state in suspects.items()})
            suspects |= await self._find_differences(
                {one: state for one, state in tail.items() if one not in suspects}
            )
            if not suspects:
                break
            await asyncio.sleep(CONFIRMATION_INTERVAL_S)
        live = await self._live_states(list(suspects))
        return count, [
            StateDifference(message_id=one, rebuilt=str(state or ""), live=str(live[one] or ""))
            for one, state in sorted(suspects.items())
        ]

    async def restore(self, *, dry_run: bool, doubtful: bool = False) -> AsyncIterator[RestoreOutcome]:
        """Enqueue messages that were accepted and have not ended, unless Redis knows them.

        It is safe to repeat, also while the pipeline runs. The history and the sequence numbers of conversations
        start again, because only Redis had them.

        Args:
            dry_run: only yield what would be done.
            doubtful: restore messages, too, whose reply was being sent when Redis was lost. The customer may get
                it twice.
        """
        async with Database(self._settings) as database:
            async for batch in LedgerArchive(database).iter_unfinished():
                live = await self._live_states([row.message_id for row in batch])
                for row in batch:
                    outcome = await self._restore(row, live[row.message_id], dry_run=dry_run, doubtful=doubtful)
                    yield RestoreOutcome(message_id=row.message_id, outcome=outcome)

    async def _restore(self, row: UnfinishedMessage, live: State | None, *, dry_run: bool, doubtful: bool) -> str:
        if live is not None:
            return "present"
        if row.doubtful and not doubtful:
            return "doubtful"
        if dry_run:
            return "would_restore"
        enqueued = await self._queue.enqueue(_message_decoder.decode(row.body), digest=row.digest)
        return "restored" if enqueued.status is EnqueueStatus.ACCEPTED else "known"

    async def _find_differences(self, states: Mapping[str, EventState | None]) -> dict[str, EventState | None]:
        live = await self._live_states(list(states))
        return {one: state for one, state in states.items() if not _states_agree(state, live[one])}

    async def _live_states(self, message_ids: Sequence[str]) -> dict[str, State | None]:
        jobs = await self._queue.find_many(message_ids) if message_ids else []
        return {one: job.state if job else None for one, job in zip(message_ids, jobs, strict=True)}

    async def _unprojected_states(self, position: str) -> dict[str, EventState]:
        """Return the states that the events lead to which PostgreSQL does not have yet."""
        states: dict[str, EventState] = {}
        async for events in self._ledger.iter_after(position):
            states |= fold_states(events)
        return states

    async def _unknown_to_archive(self, archive: LedgerArchive) -> list[str]:
        """Return the ids of messages that Redis knows and PostgreSQL does not."""
        found, cursor = list[str](), -1
        while cursor != 0:
            cursor, key_names = await self._redis.scan(max(cursor, 0), f"{keys.RQ_JOB}*", KEY_SCAN_COUNT, "hash")
            ids = [str(key).removeprefix(keys.RQ_JOB) for key in key_names]
            known = await archive.find_known(ids) if ids else set()
            found += [one for one in ids if one not in known]
        return found

    def _may_have_expired(self, state: EventState, at: datetime) -> bool:
        """Return whether the record in Redis may have expired, because the message ended so long ago."""
        keep = {
            EventState.COMPLETED: self._settings.retention.completed,
            EventState.FAILED: self._settings.retention.failed,
        }
        return state in keep and datetime.now(UTC) - at > timedelta(seconds=keep[state] - 60)


def _states_agree(rebuilt: EventState | None, live: State | None) -> bool:
    if rebuilt in {EventState.REMOVED, EventState.PARKED, None}:
        return live is None
    return live is not None and rebuilt is not None and live.value == rebuilt.value
