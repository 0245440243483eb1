"""A short memory of agents: bounded, one query for many who ask at once, and it forgets on command."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from msgctl.agents.agent import Agent

ABSENT_TTL = 2.0
"""Seconds an absent agent is remembered as absent: enough to blunt a flood, too short to annoy its maker."""

Load = Callable[[str], Awaitable[Agent | None]]


class Cache:
    """What was found of each id, for a while.

    Args:
        load: asks the database.
        ttl: seconds a row is remembered.
        size: ids remembered at most; the one not asked for longest goes first.
    """

    def __init__(self, load: Load, *, ttl: float, size: int = 10_000) -> None:
        self._load = load
        self._ttl = ttl
        self._size = size
        self._known: OrderedDict[str, tuple[float, Agent | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Agent | None]] = {}

    async def find(self, agent_id: str) -> Agent | None:
        """The remembered agent, or what `load` says; whoever asks meanwhile shares that one query."""
        expires, agent = self._known.get(agent_id, (0.0, None))
        if expires > asyncio.get_running_loop().time():
            self._known.move_to_end(agent_id)
            return agent
        task = self._loading.get(agent_id)
        if task is None:
            task = asyncio.create_task(self._fetch(agent_id))
            self._loading[agent_id] = task
            task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    def drop(self, agent_id: str) -> None:
        """Forget one id; an answer that is under way may be of before the change and is not remembered."""
        self._known.pop(agent_id, None)
        self._loading.pop(agent_id, None)

    def clear(self) -> None:
        """Forget all, as when notifications may have been missed."""
        self._known.clear()
        self._loading.clear()

    async def _fetch(self, agent_id: str) -> Agent | None:
        task = asyncio.current_task()
        try:
            agent = await self._load(agent_id)
            if self._loading.get(agent_id) is task:
                self._remember(agent_id, agent)
            return agent
        finally:
            if self._loading.get(agent_id) is task:
                del self._loading[agent_id]

    def _remember(self, agent_id: str, agent: Agent | None) -> None:
        ttl = self._ttl if agent else min(self._ttl, ABSENT_TTL)
        self._known[agent_id] = (asyncio.get_running_loop().time() + ttl, agent)
        self._known.move_to_end(agent_id)
        if len(self._known) > self._size:
            self._known.popitem(last=False)


def _retrieve(task: "asyncio.Task[Agent | None]") -> None:
    """Look at a failure that nobody waits for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
