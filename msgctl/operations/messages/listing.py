"""Messages by filter, from a bounded window: the newest of each registry, never all of a queue."""

from datetime import datetime
from typing import Any, cast

import msgspec

from msgctl.domain.messages import PRIORITIES, State, WireStruct
from msgctl.operations.context import Context
from msgctl.operations.messages.query import Query
from msgctl.queue.job import STATE_BY_RQ_STATUS
from msgctl.storage.redis import keys

LISTING_READ_LIMIT = 600
"""Messages that one look reads at most."""
LISTED_JOB_FIELDS = (
    "status",
    keys.FIELD_USER,
    keys.FIELD_CHANNEL,
    keys.FIELD_PRIORITY,
    keys.FIELD_PROGRESS,
    keys.FIELD_ATTEMPTS,
    keys.FIELD_ERROR,
    keys.FIELD_FINISHED,
    keys.FIELD_READY,
    "created_at",
)


class Item(WireStruct, kw_only=True, frozen=True):
    """One message of a listing, without its text."""

    message_id: str
    state: State
    user_id: str
    channel: str
    priority: int
    progress: int
    attempts: int
    error: str
    """The code of the last failure; empty: none."""
    at: int
    """Unix milliseconds of its end, else since when it has been ready, else of its acceptance."""


class Found(WireStruct, kw_only=True, frozen=True):
    """What a listing found, and how far it looked."""

    items: list[Item]
    looked_at: int
    """Messages that were read."""
    total: int
    """Messages of the states and priorities asked for."""


class _NamedAgent(msgspec.Struct, rename="camel", frozen=True):
    agent_id: str


_named_agent = msgspec.json.Decoder(_NamedAgent)

ListedEntry = tuple[str, float | None]
"""A message's id, and for one that is over the second it is forgotten: if it is over anew it has another."""


class Listing:
    """Finds messages; keep one for as long as you look, since it reads those that are over once.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._ended_items: dict[ListedEntry, Item] = {}

    async def find(self, query: Query, limit: int) -> Found:
        """The newest messages that answer to a query.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        entries, total = await self._candidates(query)
        items = await self._read(entries, query)
        (seconds, _) = await self._redis.time()
        matching = [item for item in items if _matches(item, query, seconds)]
        matching.sort(key=lambda item: (-item.at, item.message_id))
        return Found(items=matching[:limit], looked_at=len(entries), total=total)

    async def _candidates(self, query: Query) -> tuple[list[ListedEntry], int]:
        if query.message_id:
            return [(query.message_id, None)], 1
        queues = [keys.queue_name(p) for p in PRIORITIES if query.priority in (None, p)]
        states = [query.state] if query.state else list(State)
        sources = [
            (kind, key + queue) for state in states for kind, key in REGISTRIES_BY_STATE[state] for queue in queues
        ]
        pipeline = self._redis.pipeline(transaction=False)
        for kind, key in sources:
            _ = pipeline.llen(key) if kind == "list" else pipeline.zcard(key)
        sizes = await pipeline.execute()
        for (kind, key), share in zip(sources, split_budget(sizes, LISTING_READ_LIMIT), strict=True):
            if share and kind == "list":
                pipeline.lrange(key, -share, -1)
            elif share:
                pipeline.zrange(key, 0, share - 1, desc=kind != "oldest", withscores=kind == "over")
        found: dict[str, float | None] = {}
        for members in await pipeline.execute():
            for member in members:
                name, score = member if isinstance(member, tuple | list) else (member, None)
                found.setdefault(name.partition(":")[0], score)
        return list(found.items()), sum(sizes)

    async def _read(self, entries: list[ListedEntry], query: Query) -> list[Item]:
        if query.agent:
            entries = await self._of_agent(entries, query.agent)
        unread = [entry for entry in entries if entry not in self._ended_items]
        rows = await self._rows(unread, LISTED_JOB_FIELDS)
        fresh = {entry: item for entry, row in zip(unread, rows, strict=True) if (item := _item(entry[0], row))}
        known = {entry: self._ended_items[entry] for entry in entries if entry in self._ended_items}
        self._ended_items = known | {entry: item for entry, item in fresh.items() if entry[1] is not None}
        return [*known.values(), *fresh.values()]

    async def _of_agent(self, entries: list[ListedEntry], agent_id: str) -> list[ListedEntry]:
        """Return the entries of an agent; the message is read only where an earlier version wrote the job."""
        agents = [row[0] for row in await self._rows(entries, (keys.FIELD_AGENT,))]
        unnamed = [entry for entry, agent in zip(entries, agents, strict=True) if agent is None]
        rows = await self._rows(unnamed, (keys.FIELD_MESSAGE,))
        named = {entry: _agent_in(row[0]) for entry, row in zip(unnamed, rows, strict=True)}
        return [
            entry
            for entry, agent in zip(entries, agents, strict=True)
            if agent_id == (named[entry] if agent is None else agent)
        ]

    async def _rows(self, entries: list[ListedEntry], fields: tuple[str, ...]) -> list[list[str | None]]:
        pipeline = self._redis.pipeline(transaction=False)
        for message_id, _ in entries:
            pipeline.hmget(keys.job_key(message_id), fields)
        return await pipeline.execute() if entries else []


REGISTRIES_BY_STATE: dict[State, list[tuple[str, str]]] = {
    State.WAITING: [("list", keys.RQ_QUEUE), ("oldest", keys.RQ_DEFERRED)],
    State.ACTIVE: [("newest", keys.RQ_WIP)],
    State.DELAYED: [("oldest", keys.RQ_SCHEDULED)],
    State.COMPLETED: [("over", keys.RQ_FINISHED)],
    State.FAILED: [("over", keys.RQ_FAILED)],
}
"""Where the messages of a state are: a list, or a sorted set read from either end; what is over is read once."""


def split_budget(sizes: list[int], budget: int) -> list[int]:
    """How many to read of each source: all of the small ones, and the large ones share what these leave."""
    given, left = [0] * len(sizes), budget
    for rank, place in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        given[place] = min(sizes[place], left // (len(sizes) - rank))
        left -= given[place]
    return given


def _agent_in(message: str | None) -> str:
    """Return the agent that a stored message names; empty where it cannot be read."""
    try:
        return _named_agent.decode(message or "").agent_id
    except msgspec.MsgspecError:
        return ""


def _item(message_id: str, row: list[str | None]) -> Item | None:
    status, user, channel, priority, progress, attempts, error, finished, ready, created = row[
        : len(LISTED_JOB_FIELDS)
    ]
    state = STATE_BY_RQ_STATUS.get(status or "")
    if state is None or user is None:
        return None
    try:
        code = cast("dict[str, Any]", msgspec.json.decode(error)).get("code", "") if error else ""
        at = int(finished or ready or 0) or round(datetime.fromisoformat(created or "").timestamp() * 1000)
        return Item(
            message_id=message_id,
            state=state,
            user_id=user,
            channel=channel or "",
            priority=int(priority or 0),
            progress=int(progress or 0),
            attempts=int(attempts or 0),
            error=str(code),
            at=at,
        )
    except (
        ValueError,
        AttributeError,
    ):  # another program wrote into the hash: it is not listed, `show` may say more
        return None


def _matches(item: Item, query: Query, now: int) -> bool:
    return (
        query.state in (None, item.state)
        and query.channel in (None, item.channel)
        and query.user in (None, item.user_id)
        and query.priority in (None, item.priority)
        and (query.error is None or query.error in item.error)
        and (query.since is None or item.at >= (now - query.since) * 1000)
    )
