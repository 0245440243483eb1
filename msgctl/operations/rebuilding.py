"""What the ledger is for when something is wrong: to compare its account with Redis, and to feed a new Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from msgctl import contracts
from msgctl.events.archive import Archive, Unfinished
from msgctl.events.event import EventState, fold
from msgctl.events.ledger import Ledger
from msgctl.messages import Message, Record, State
from msgctl.operations.context import Context
from msgctl.postgres.database import Database
from msgctl.rqueue.queue import Queue, Verdict

LOOKS = 3
"""How often a difference must be seen: the system moves while it is looked at."""
PAUSE = 0.5
"""Seconds between two looks."""
SCAN = 500

_message = msgspec.json.Decoder(Message)


class Difference(Record, kw_only=True, frozen=True):
    """A message that is elsewhere than its events say."""

    message_id: str
    rebuilt: str
    """What the events come to; empty: the ledger does not know it."""
    live: str
    """What Redis says; empty: it does not know it."""


class Restored(Record, kw_only=True, frozen=True):
    """What became of an unfinished message."""

    message_id: str
    outcome: str
    """restored · would_restore · present · doubtful · known."""


class Rebuilding:
    """Reads the ledger against Redis.

    Args:
        context: the pipeline it works on.

    Each method raises RedisUnavailable, PostgresUnavailable, and ConfigurationError without the ledger's tables.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis
        self._queue = Queue(context.redis, context.settings, actor="restore")
        self._ledger = Ledger(context.redis)

    async def compare(self) -> tuple[int, list[Difference]]:
        """How many messages were compared, and those whose live state is not what their events come to."""
        async with Database(self._settings) as database:
            archive = Archive(database)
            position = await archive.position()
            count, suspects = 0, dict[str, EventState | None]()
            async for batch in archive.states():
                count += len(batch)
                kept = {one: state for one, (state, at) in batch.items() if not self._is_past(state, at)}
                suspects |= await self._differing(kept)
            suspects |= dict.fromkeys(await self._unheard_of(archive))
        for _ in range(LOOKS):
            tail = await self._tail(position)
            suspects = await self._differing({one: tail.get(one, state) for one, state in suspects.items()})
            suspects |= await self._differing({one: state for one, state in tail.items() if one not in suspects})
            if not suspects:
                break
            await asyncio.sleep(PAUSE)
        live = await self._live(list(suspects))
        return count, [
            Difference(message_id=one, rebuilt=str(state or ""), live=str(live[one] or ""))
            for one, state in sorted(suspects.items())
        ]

    async def restore(self, *, dry_run: bool, doubtful: bool = False) -> AsyncIterator[Restored]:
        """Feed messages that were accepted and have not ended to a Redis that does not know them.

        Safe to repeat, and while the pipeline runs. Conversations begin anew: their history and numbers were in
        Redis alone.

        Args:
            dry_run: only say what would be done.
            doubtful: also those whose reply was being sent when Redis was lost: the customer may get it twice.
        """
        async with Database(self._settings) as database:
            async for batch in Archive(database).unfinished():
                live = await self._live([row.message_id for row in batch])
                for row in batch:
                    outcome = await self._restore(row, live[row.message_id], dry_run=dry_run, doubtful=doubtful)
                    yield Restored(message_id=row.message_id, outcome=outcome)

    async def _restore(self, row: Unfinished, live: State | None, *, dry_run: bool, doubtful: bool) -> str:
        if live is not None:
            return "present"
        if row.doubtful and not doubtful:
            return "doubtful"
        if dry_run:
            return "would_restore"
        enqueued = await self._queue.enqueue(_message.decode(row.body), digest=row.digest)
        return "restored" if enqueued.verdict is Verdict.ACCEPTED else "known"

    async def _differing(self, states: Mapping[str, EventState | None]) -> dict[str, EventState | None]:
        live = await self._live(list(states))
        return {one: state for one, state in states.items() if not _agree(state, live[one])}

    async def _live(self, message_ids: Sequence[str]) -> dict[str, State | None]:
        jobs = await self._queue.find_many(message_ids) if message_ids else []
        return {one: job.state if job else None for one, job in zip(message_ids, jobs, strict=True)}

    async def _tail(self, position: str) -> dict[str, EventState]:
        """What the events come to that PostgreSQL did not have."""
        states: dict[str, EventState] = {}
        async for events in self._ledger.all_after(position):
            states |= fold(events)
        return states

    async def _unheard_of(self, archive: Archive) -> list[str]:
        """Messages that Redis knows and PostgreSQL does not."""
        found, cursor = list[str](), -1
        while cursor != 0:
            cursor, keys = await self._redis.scan(max(cursor, 0), f"{contracts.RQ_JOB}*", SCAN, "hash")
            ids = [str(key).removeprefix(contracts.RQ_JOB) for key in keys]
            known = await archive.known(ids) if ids else set()
            found += [one for one in ids if one not in known]
        return found

    def _is_past(self, state: EventState, at: datetime) -> bool:
        """Whether Redis may have forgotten it: it ended longer ago than such messages are kept."""
        keep = {
            EventState.COMPLETED: self._settings.retention.completed,
            EventState.FAILED: self._settings.retention.failed,
        }
        return state in keep and datetime.now(UTC) - at > timedelta(seconds=keep[state] - 60)


def _agree(rebuilt: EventState | None, live: State | None) -> bool:
    if rebuilt in {EventState.REMOVED, EventState.PARKED, None}:
        return live is None
    return live is not None and rebuilt is not None and live.value == rebuilt.value
