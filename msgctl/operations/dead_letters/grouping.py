"""All dead letters of a query by the signature of their error: how many, since when, whom they hit, a sample."""

from msgctl.domain.messages import State, WireStruct
from msgctl.operations.context import Context
from msgctl.operations.dead_letters.signatures import signature
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.selection import Selection, Summary

MAX_NAMES_PER_GROUP = 20
"""Channels and agents a group names at most."""


class DeadGroup(WireStruct, kw_only=True, frozen=True):
    """Dead letters that failed alike; times are Unix milliseconds."""

    group: str
    """What `--group` takes."""
    signature: str
    count: int
    first_seen: int
    last_seen: int
    channels: list[str]
    agents: list[str]
    sample: str
    """The id of the newest."""


class Grouping:
    """Groups dead letters.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._selection = Selection(context)

    async def group_all(self, query: Query) -> list[DeadGroup]:
        """The groups, the largest first."""
        piles: dict[str, _Pile] = {}
        async for batch in self._selection.walk(query):
            for item in batch:
                if item.state is State.FAILED:
                    group = item.group or ""
                    if group not in piles:
                        piles[group] = _Pile(item)
                    piles[group].add(item)
        groups = [pile.as_group() for pile in piles.values()]
        return sorted(groups, key=lambda group: (-group.count, group.signature))


class _Pile:
    """A group while it is counted."""

    def __init__(self, item: Summary) -> None:
        self._newest = item
        self._count = 0
        self._first = item.at
        self._channels: set[str] = set()
        self._agents: set[str] = set()

    def add(self, item: Summary) -> None:
        self._count += 1
        self._first = min(self._first, item.at)
        self._channels.add(item.channel)
        self._agents.add(item.agent_id)
        if item.at > self._newest.at:
            self._newest = item

    def as_group(self) -> DeadGroup:
        return DeadGroup(
            group=self._newest.group or "",
            signature=signature(self._newest.error),
            count=self._count,
            first_seen=self._first,
            last_seen=self._newest.at,
            channels=sorted(self._channels)[:MAX_NAMES_PER_GROUP],
            agents=sorted(self._agents)[:MAX_NAMES_PER_GROUP],
            sample=self._newest.message_id,
        )
