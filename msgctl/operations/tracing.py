"""`trace`: one joined story of a message over all hops, with times and gaps, and where it stopped."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby

from msgctl.agents.store import Agents
from msgctl.errors import ConfigurationError, MsgctlError, NotFound, PostgresUnavailable
from msgctl.events.archive import Archive
from msgctl.events.event import Event
from msgctl.events.ledger import Ledger
from msgctl.messages import Record
from msgctl.operations.advice import NEEDS_WORKER, Standing, stand
from msgctl.operations.context import Context
from msgctl.operations.explaining import Explaining
from msgctl.operations.health import Checkup
from msgctl.postgres.database import Database

NAP = 0.5
"""Seconds between two looks while a story is followed."""
ADVISED = frozenset({"no_worker", "agent_gone"})
"""What is an advice of its own."""
MOST_EXPLAINED = 20
"""Messages of a conversation whose way to a worker is looked at; those behind them wait for these."""


class Story(Record, kw_only=True, frozen=True):
    """What happened, oldest first, and where each message stands now."""

    events: list[Event]
    standings: list[Standing]
    note: str
    """What may be missing; empty: nothing."""


class Tracing:
    """Joins what PostgreSQL and Redis know.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._ledger = Ledger(context.redis)
        self._checkup = Checkup(context)
        self._explaining = Explaining(context)

    async def story(self, *, message_id: str = "", conversation_id: str = "") -> Story:
        """The story of a message, or of every message of a conversation.

        Raises:
            NotFound: the ledger knows no such message or conversation.
            RedisUnavailable: Redis does not answer.
        """
        archived, position, note = await self._archived(message_id, conversation_id)
        known = {event.message_id for event in archived} | ({message_id} if message_id else set())
        fresh = await self._ledger.about(known, conversation_id or None, position)
        events = [*archived, *fresh]
        if not events:
            raise NotFound(f"The ledger knows nothing of {message_id or conversation_id}. {note}".rstrip())
        reasons = {reason.code for reason in (await self._checkup.run()).reasons}
        ordered = sorted(events, key=lambda event: (event.message_id, event.order))
        stories = {one: list(group) for one, group in groupby(ordered, lambda event: event.message_id)}
        obstacles = await self._obstacles(stories)
        standings = [stand(story, reasons, obstacles.get(one, ())) for one, story in stories.items()]
        return Story(events=events, standings=standings, note=note)

    async def follow(self, *, message_id: str = "", conversation_id: str = "") -> AsyncIterator[Story]:
        """The story so far, then what is new each time there is something; ends when every message has ended."""
        told = 0
        while True:
            try:
                story = await self.story(message_id=message_id, conversation_id=conversation_id)
            except NotFound:
                if told == 0:
                    raise
                return
            if len(story.events) > told:
                yield Story(events=story.events[told:], standings=story.standings, note=story.note)
                told = len(story.events)
            if all(one.over for one in story.standings):
                return
            await asyncio.sleep(NAP)

    async def _obstacles(self, stories: Mapping[str, Sequence[Event]]) -> dict[str, list[str]]:
        """What stands between each message and a worker, as far as that can be told."""
        waiting = [one for one, events in stories.items() if events[-1].what in NEEDS_WORKER][:MOST_EXPLAINED]
        found: dict[str, list[str]] = {}
        if not waiting:
            return found
        async with Agents(self._settings) as agents:
            for one in waiting:
                try:
                    explanation = await self._explaining.why(one, agents)
                except MsgctlError:  # it moved on, or PostgreSQL is away: its events have to do
                    continue
                found[one] = [_sentence(it.message) for it in explanation.reasons if it.code not in ADVISED]
        return found

    async def _archived(self, message_id: str, conversation_id: str) -> tuple[list[Event], str, str]:
        """What PostgreSQL has, the entry behind which Redis goes on, and what is missing if it does not answer."""
        try:
            async with Database(self._settings) as database:
                archive = Archive(database)
                position = await archive.position()
                if message_id:
                    return await archive.of_message(message_id), position, ""
                return await archive.of_conversation(conversation_id), position, ""
        except (PostgresUnavailable, ConfigurationError) as problem:
            return [], "0-0", f"Only what Redis still has: {problem.message}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") or ": msgctl" in text else f"{text}."
