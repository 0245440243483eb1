"""The trace of a message: its events from PostgreSQL and Redis, and where it stopped."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby

from msgctl.agents.agents import Agents
from msgctl.domain.errors import ConfigurationError, MsgctlError, NotFound, PostgresUnavailable
from msgctl.domain.messages import WireStruct
from msgctl.ledger.archive import LedgerArchive
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context, Operation
from msgctl.operations.messages.diagnosis import EVENTS_NEEDING_WORKER, Diagnosis, diagnose
from msgctl.operations.messages.wait_reasons import WaitExplainer
from msgctl.storage.postgres.database import Database

TRACE_POLL_INTERVAL_S = 0.5
"""Seconds between two reads while a trace is followed."""
REASONS_WITH_ADVICE = frozenset({"no_worker", "agent_gone"})
"""Obstacles that the advice of the diagnosis names, so the sentence does not."""
MAX_EXPLAINED = 20
"""Messages of a conversation whose obstacles are looked up. The messages behind them wait for these."""


class MessageTrace(WireStruct, kw_only=True, frozen=True):
    """The events, oldest first, and the diagnosis of each message."""

    events: list[Event]
    standings: list[Diagnosis]
    note: str
    """Which events may be missing. Empty: none."""


class MessageTracer(Operation):
    """Joins the events that PostgreSQL and Redis have."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ledger = Ledger(context.redis)
        self._health_check = HealthCheck(context)
        self._explainer = WaitExplainer(context)

    async def trace(self, *, message_id: str = "", conversation_id: str = "") -> MessageTrace:
        """Return the trace of a message, or of every message of a conversation.

        Raises:
            NotFound: the ledger knows no such message or conversation.
            RedisUnavailable: Redis does not answer.
        """
        archived, position, note = await self._archived(message_id, conversation_id)
        message_ids = {event.message_id for event in archived} | ({message_id} if message_id else set())
        fresh = await self._ledger.read_related(message_ids, conversation_id or None, position)
        events = [*archived, *fresh]
        if not events:
            raise NotFound(f"The ledger has no events of {message_id or conversation_id}. {note}".rstrip())
        reasons = {reason.code for reason in (await self._health_check.run()).reasons}
        ordered = sorted(events, key=lambda event: (event.message_id, event.position))
        by_message = {name: list(group) for name, group in groupby(ordered, lambda event: event.message_id)}
        obstacles = await self._obstacles(by_message)
        standings = [diagnose(story, reasons, obstacles.get(name, ())) for name, story in by_message.items()]
        return MessageTrace(events=events, standings=standings, note=note)

    async def follow(self, *, message_id: str = "", conversation_id: str = "") -> AsyncIterator[MessageTrace]:
        """Yield the trace so far, then new events as they occur, until every message has ended."""
        yielded = 0
        while True:
            try:
                trace = await self.trace(message_id=message_id, conversation_id=conversation_id)
            except NotFound:
                if yielded == 0:
                    raise
                return
            if len(trace.events) > yielded:
                yield MessageTrace(events=trace.events[yielded:], standings=trace.standings, note=trace.note)
                yielded = len(trace.events)
            if all(diagnosis.over for diagnosis in trace.standings):
                return
            await asyncio.sleep(TRACE_POLL_INTERVAL_S)

    async def _obstacles(self, by_message: Mapping[str, Sequence[Event]]) -> dict[str, list[str]]:
        """Return the obstacles between each message and a worker, where they are known."""
        waiting = [name for name, events in by_message.items() if events[-1].what in EVENTS_NEEDING_WORKER]
        found: dict[str, list[str]] = {}
        if not waiting:
            return found
        async with Agents(self._settings) as agents:
            for message_id in waiting[:MAX_EXPLAINED]:
                try:
                    explanation = await self._explainer.explain(message_id, agents)
                except MsgctlError:  # it has ended, or PostgreSQL does not answer: its events must suffice
                    continue
                found[message_id] = [
                    _as_sentence(reason.message)
                    for reason in explanation.reasons
                    if reason.code not in REASONS_WITH_ADVICE
                ]
        return found

    async def _archived(self, message_id: str, conversation_id: str) -> tuple[list[Event], str, str]:
        """Return the events in PostgreSQL, the stream id after which Redis has the rest, and a note on gaps."""
        try:
            async with Database(self._settings) as database:
                archive = LedgerArchive(database)
                position = await archive.read_position()
                if message_id:
                    return await archive.read_message(message_id), position, ""
                return await archive.read_conversation(conversation_id), position, ""
        except (PostgresUnavailable, ConfigurationError) as error:
            return [], "0-0", f"Only the events that Redis still has: {error.message}"


def _as_sentence(text: str) -> str:
    return text if text.endswith(".") or ": msgctl" in text else f"{text}."
