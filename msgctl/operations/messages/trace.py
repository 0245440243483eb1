"""`trace`: one joined story of a message over all hops, with times and gaps, and where it stopped."""

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
from msgctl.operations.context import Context
from msgctl.operations.messages.diagnosis import EVENTS_NEEDING_WORKER, Diagnosis, diagnose
from msgctl.operations.messages.wait_reasons import WaitExplainer
from msgctl.storage.postgres.database import Database

TRACE_POLL_INTERVAL_S = 0.5
"""Seconds between two looks while a story is followed."""
REASONS_WITH_ADVICE = frozenset({"no_worker", "agent_gone"})
"""What is an advice of its own."""
MAX_EXPLAINED = 20
"""Messages of a conversation whose way to a worker is looked at; those behind them wait for these."""


class MessageTrace(WireStruct, kw_only=True, frozen=True):
    """What happened, oldest first, and where each message stands now."""

    events: list[Event]
    standings: list[Diagnosis]
    note: str
    """What may be missing; empty: nothing."""


class MessageTracer:
    """Joins what PostgreSQL and Redis know.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._ledger = Ledger(context.redis)
        self._health_check = HealthCheck(context)
        self._explainer = WaitExplainer(context)

    async def trace(self, *, message_id: str = "", conversation_id: str = "") -> MessageTrace:
        """The story of a message, or of every message of a conversation.

        Raises:
            NotFound: the ledger knows no such message or conversation.
            RedisUnavailable: Redis does not answer.
        """
        archived, position, note = await self._archived(message_id, conversation_id)
        known = {event.message_id for event in archived} | ({message_id} if message_id else set())
        fresh = await self._ledger.read_related(known, conversation_id or None, position)
        events = [*archived, *fresh]
        if not events:
            raise NotFound(f"The ledger knows nothing of {message_id or conversation_id}. {note}".rstrip())
        reasons = {reason.code for reason in (await self._health_check.run()).reasons}
        ordered = sorted(events, key=lambda event: (event.message_id, event.position))
        stories = {one: list(group) for one, group in groupby(ordered, lambda event: event.message_id)}
        obstacles = await self._obstacles(stories)
        standings = [diagnose(story, reasons, obstacles.get(one, ())) for one, story in stories.items()]
        return MessageTrace(events=events, standings=standings, note=note)

    async def follow(self, *, message_id: str = "", conversation_id: str = "") -> AsyncIterator[MessageTrace]:
        """The story so far, then what is new each time there is something; ends when every message has ended."""
        told = 0
        while True:
            try:
                story = await self.trace(message_id=message_id, conversation_id=conversation_id)
            except NotFound:
                if told == 0:
                    raise
                return
            if len(story.events) > told:
                yield MessageTrace(events=story.events[told:], standings=story.standings, note=story.note)
                told = len(story.events)
            if all(one.over for one in story.standings):
                return
            await asyncio.sleep(TRACE_POLL_INTERVAL_S)

    async def _obstacles(self, stories: Mapping[str, Sequence[Event]]) -> dict[str, list[str]]:
        """What stands between each message and a worker, as far as that can be told."""
        waiting = [one for one, events in stories.items() if events[-1].what in EVENTS_NEEDING_WORKER][
            :MAX_EXPLAINED
        ]
        found: dict[str, list[str]] = {}
        if not waiting:
            return found
        async with Agents(self._settings) as agents:
            for one in waiting:
                try:
                    explanation = await self._explainer.explain(one, agents)
                except MsgctlError:  # it moved on, or PostgreSQL is away: its events have to do
                    continue
                found[one] = [
                    _as_sentence(it.message) for it in explanation.reasons if it.code not in REASONS_WITH_ADVICE
                ]
        return found

    async def _archived(self, message_id: str, conversation_id: str) -> tuple[list[Event], str, str]:
        """What PostgreSQL has, the entry behind which Redis goes on, and what is missing if it does not answer."""
        try:
            async with Database(self._settings) as database:
                archive = LedgerArchive(database)
                position = await archive.read_position()
                if message_id:
                    return await archive.read_message(message_id), position, ""
                return await archive.read_conversation(conversation_id), position, ""
        except (PostgresUnavailable, ConfigurationError) as problem:
            return [], "0-0", f"Only what Redis still has: {problem.message}"


def _as_sentence(text: str) -> str:
    return text if text.endswith(".") or ": msgctl" in text else f"{text}."
