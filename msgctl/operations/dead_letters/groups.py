"""The groups of dead letters: those whose errors have the same signature."""

from collections.abc import Iterable
from typing import Any

import msgspec

from msgctl.domain.messages import State, WireStruct
from msgctl.operations.context import Context, Operation
from msgctl.operations.dead_letters.signatures import signature
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import MessageSearch, Summary
from msgctl.storage.redis import keys

GROUPING_WINDOW = 800
"""Dead letters, the newest, that `group_newest` reads."""
MAX_NAMES_PER_GROUP = 20
"""Channels and agents that a group names at most."""


class DeadLetterGroup(WireStruct, kw_only=True, frozen=True):
    """Dead letters that failed alike. Times are Unix milliseconds."""

    group: str
    """The key of the group, for the option `--group`."""
    signature: str
    count: int
    first_seen: int
    last_seen: int
    channels: list[str]
    agents: list[str]
    sample: str
    """The id of the newest one."""


class NewestDeadLetters(msgspec.Struct, kw_only=True, frozen=True):
    """The newest dead letters and their groups."""

    groups: list[DeadLetterGroup]
    """The largest group first."""
    letters: dict[str, list[Summary]]
    """The dead letters of each signature, newest first."""
    looked_at: int
    total: int


class DeadLetterGrouper(Operation):
    """Groups dead letters. Keep one instance for repeated calls: it reads each dead letter once."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._search = MessageSearch(context)
        self._fingerprint: list[Any] = []
        self._newest: NewestDeadLetters | None = None

    async def group_all(self, query: Query) -> list[DeadLetterGroup]:
        """Group all dead letters that match a query, the largest group first."""
        builders: dict[str, _GroupBuilder] = {}
        async for batch in self._search.walk(query):
            _add(builders, (item for item in batch if item.state is State.FAILED))
        return _finish(builders)

    async def group_newest(self, window: int = GROUPING_WINDOW) -> NewestDeadLetters:
        """Group the newest dead letters.

        Args:
            window: the number of dead letters to read.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        fingerprint = [window, *await self._read_fingerprint()]
        if self._newest is None or fingerprint != self._fingerprint:
            found = await self._search.newest(Query(state=State.FAILED), window)
            builders: dict[str, _GroupBuilder] = {}
            letters: dict[str, list[Summary]] = {}
            _add(builders, found.items)
            for item in found.items:
                letters.setdefault(signature(item.error), []).append(item)
            self._newest = NewestDeadLetters(
                groups=_finish(builders), letters=letters, looked_at=found.looked_at, total=found.total
            )
            self._fingerprint = fingerprint
        return self._newest

    def forget(self, message_id: str) -> None:
        """Read a dead letter again next time, because it was replayed and may have another error."""
        self._newest = None
        self._search.forget(message_id)

    async def _read_fingerprint(self) -> list[Any]:
        """Return the size and the newest entry of each registry, which change with every dead letter."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.zcard(keys.RQ_FAILED + queue)
            pipeline.zrange(keys.RQ_FAILED + queue, 0, 0, desc=True, withscores=True)
        return await pipeline.execute()


class _GroupBuilder:
    """A group while its dead letters are counted."""

    def __init__(self, item: Summary) -> None:
        self._newest = item
        self._count = 0
        self._first_seen = item.at
        self._channels: set[str] = set()
        self._agents: set[str] = set()

    def add(self, item: Summary) -> None:
        self._count += 1
        self._first_seen = min(self._first_seen, item.at)
        self._channels.add(item.channel)
        self._agents.add(item.agent_id)
        if item.at > self._newest.at:
            self._newest = item

    def build(self) -> DeadLetterGroup:
        return DeadLetterGroup(
            group=self._newest.group or "",
            signature=signature(self._newest.error),
            count=self._count,
            first_seen=self._first_seen,
            last_seen=self._newest.at,
            channels=sorted(self._channels)[:MAX_NAMES_PER_GROUP],
            agents=sorted(self._agents)[:MAX_NAMES_PER_GROUP],
            sample=self._newest.message_id,
        )


def _add(builders: dict[str, _GroupBuilder], items: Iterable[Summary]) -> None:
    for item in items:
        key = item.group or ""
        if key not in builders:
            builders[key] = _GroupBuilder(item)
        builders[key].add(item)


def _finish(builders: dict[str, _GroupBuilder]) -> list[DeadLetterGroup]:
    groups = [builder.build() for builder in builders.values()]
    return sorted(groups, key=lambda group: (-group.count, group.signature))
