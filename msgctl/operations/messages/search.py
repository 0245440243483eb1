"""The search for messages: the newest that match a query, or all of them. No call blocks Redis for long."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from msgctl.aio import prefetch
from msgctl.domain.messages import PRIORITIES, State, WireStruct
from msgctl.operations.context import Context, Operation
from msgctl.operations.dead_letters.signatures import group_key, signature
from msgctl.operations.messages.query import Query
from msgctl.queue.job import STATE_BY_RQ_STATUS
from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import Script

READ_SUMMARIES = Script.beside(__file__, "read_summaries")
SUMMARY_BATCH_SIZE = 250
"""Messages read in one call, which takes about four milliseconds of Redis's time."""
REGISTRY_SCAN_COUNT = 230
"""Entries that one ZSCAN asks for. Redis may return a dozen more, which still fit into one batch."""
SEARCH_WINDOW = 10_000
"""Messages that a search for the newest reads at most."""
REGISTRIES_BY_STATE: dict[State, list[tuple[str, str]]] = {
    State.WAITING: [("list", keys.RQ_QUEUE), ("oldest", keys.RQ_DEFERRED)],
    State.ACTIVE: [("newest", keys.RQ_WIP)],
    State.DELAYED: [("oldest", keys.RQ_SCHEDULED)],
    State.COMPLETED: [("ended", keys.RQ_FINISHED)],
    State.FAILED: [("ended", keys.RQ_FAILED)],
}
"""The registries of each state with their kind: a list, or a sorted set that is read from one end."""

SummaryRows = tuple[Sequence[str], list[list[str]]]
"""Ids, and a row each: empty if there is no such message, of one field if its text lacks the part searched for."""
RegistryEntry = tuple[str, float | None]
"""The id of a message, and if it has ended the second at which its record expires. A later end has another one."""

_error_decoder = msgspec.json.Decoder(dict[str, Any])


class Summary(WireStruct, kw_only=True, frozen=True):
    """One message without its text."""

    message_id: str
    state: State
    conversation_id: str
    agent_id: str
    user_id: str
    channel: str
    priority: int
    attempts: int
    crashes: int
    error: dict[str, Any] | None
    """`{class, code, text, at}` of its last failure."""
    group: str | None
    """The key of the signature of that error."""
    at: int
    """Unix milliseconds of its end; else of the time since which it is ready; else of its acceptance."""
    accepted_at: int
    finished_on: int | None
    edition: str | None
    """The id of the edited message that replaced it."""
    progress: int

    def to_record(self) -> dict[str, Any]:
        """Return its JSON form, which does not contain the progress."""
        record: dict[str, Any] = msgspec.to_builtins(self)
        del record["progress"]
        return record


class SearchResult(msgspec.Struct, kw_only=True, frozen=True):
    """The newest messages that match a query."""

    items: list[Summary]
    looked_at: int
    """The number of messages that were read."""
    total: int
    """The number of messages of the states and priorities of the query."""


class MessageSearch(Operation):
    """Searches messages. Keep one instance for repeated searches: it reads ended messages only once."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ended: dict[RegistryEntry, Summary] = {}

    async def newest(self, query: Query, limit: int, window: int | None = None) -> SearchResult:
        """Return the newest messages that match a query.

        Args:
            query: the messages to search for.
            limit: the maximum number of messages to return.
            window: the maximum number of messages to read, the newest of each state and priority. None: as many as
                a query by state and priority needs, else `SEARCH_WINDOW`.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        entries, total = await self._newest_entries(query, limit, window)
        summaries = await self._read_entries(entries, query)
        now, _ = await self._redis.time()
        items = [item for item in summaries if _matches(item, query, now)]
        items.sort(key=lambda item: (-item.at, item.message_id))
        return SearchResult(items=items[:limit], looked_at=len(entries), total=total)

    async def walk(self, query: Query, *, gone: list[str] | None = None) -> AsyncIterator[list[Summary]]:
        """Yield every message that matches a query, in batches and in no order.

        A message that changes its state meanwhile may be missed.

        Args:
            query: the messages to search for.
            gone: receives the ids in registries whose record does not exist.
        """
        async for batch in self._filter(self._scan(query), query, gone):
            yield batch

    async def all(self, query: Query, *, gone: list[str] | None = None) -> list[Summary]:
        """Return every message that matches a query, once and oldest first; for the arguments see `walk`."""
        found = {item.message_id: item async for batch in self.walk(query, gone=gone) for item in batch}
        return sorted(found.values(), key=lambda item: (item.at, item.message_id))

    async def read(self, ids: Sequence[str]) -> AsyncIterator[list[Summary]]:
        """Yield messages by id, in batches. Ids without a message are left out."""
        async for batch in self._filter(self._fetch(ids, Query()), Query(), None):
            yield batch

    def forget(self, message_id: str) -> None:
        """Read a message again in the next search, although it has ended."""
        self._ended = {entry: summary for entry, summary in self._ended.items() if entry[0] != message_id}

    async def _newest_entries(
        self, query: Query, limit: int, window: int | None
    ) -> tuple[list[RegistryEntry], int]:
        if query.message_id:
            return [(query.message_id, None)], 1
        sources = _sources(query)
        pipeline = self._redis.pipeline(transaction=False)
        for kind, key in sources:
            _ = pipeline.llen(key) if kind == "list" else pipeline.zcard(key)
        sizes = await pipeline.execute()
        wanted = [min(size, limit) for size in sizes] if _has_only_registry_filters(query) else sizes
        window = window or (sum(wanted) if _has_only_registry_filters(query) else SEARCH_WINDOW)
        for (kind, key), share in zip(sources, split_budget(wanted, window), strict=True):
            if share and kind == "list":
                pipeline.lrange(key, -share, -1)
            elif share:
                pipeline.zrange(key, 0, share - 1, desc=kind != "oldest", withscores=kind == "ended")
        found: dict[str, float | None] = {}
        for members in await pipeline.execute():
            for member in members:
                name, score = member if isinstance(member, tuple | list) else (member, None)
                found.setdefault(_message_id(name), score)
        entries = list(found.items())
        if query.state in {State.COMPLETED, State.FAILED} and _has_only_registry_filters(query):
            entries = sorted(entries, key=lambda entry: -(entry[1] or 0))[:limit]  # the score orders by the end
        return entries, sum(sizes)

    async def _read_entries(self, entries: Sequence[RegistryEntry], query: Query) -> list[Summary]:
        """Read the messages of registry entries, except those that had ended when they were read before."""
        cached = {} if query.match else {entry: self._ended[entry] for entry in entries if entry in self._ended}
        unread = [entry for entry in entries if entry not in cached]
        fresh: dict[str, Summary] = {}
        async with prefetch(self._fetch([message_id for message_id, _ in unread], query)) as batches:
            async for ids, rows in batches:
                fresh |= {one: item for one, row in zip(ids, rows, strict=True) if (item := _summary(one, row))}
        if not query.match:
            ended = {entry: fresh[entry[0]] for entry in unread if entry[1] is not None and entry[0] in fresh}
            self._ended = cached | ended
        return [*cached.values(), *fresh.values()]

    async def _filter(
        self, fetched: AsyncGenerator[SummaryRows], query: Query, gone: list[str] | None
    ) -> AsyncIterator[list[Summary]]:
        now, _ = await self._redis.time()
        async with prefetch(fetched) as batches:
            async for ids, rows in batches:
                if gone is not None:
                    gone += [message_id for message_id, row in zip(ids, rows, strict=True) if not row]
                items = (_summary(message_id, row) for message_id, row in zip(ids, rows, strict=True))
                yield [item for item in items if item and _matches(item, query, now)]

    async def _fetch(self, ids: Sequence[str], query: Query) -> AsyncGenerator[SummaryRows]:
        part = msgspec.json.encode(query.match or "").decode()[1:-1]
        for start in range(0, len(ids), SUMMARY_BATCH_SIZE):
            batch = ids[start : start + SUMMARY_BATCH_SIZE]
            yield batch, await READ_SUMMARIES(self._redis, part, *batch)

    async def _scan(self, query: Query) -> AsyncGenerator[SummaryRows]:
        async with prefetch(self._ids(query)) as batches:
            async for ids in batches:
                async for rows in self._fetch(ids, query):
                    yield rows

    async def _ids(self, query: Query) -> AsyncGenerator[list[str]]:
        for kind, key in _sources(query):
            async for ids in self._walk_list(key) if kind == "list" else self._walk_set(key):
                yield ids

    async def _walk_set(self, key: str) -> AsyncIterator[list[str]]:
        cursor = -1
        while cursor != 0:
            cursor, entries = await self._redis.zscan(key, max(cursor, 0), count=REGISTRY_SCAN_COUNT)
            yield [_message_id(str(member)) for member, _ in entries]

    async def _walk_list(self, key: str) -> AsyncIterator[list[str]]:
        start = 0
        while ids := await self._redis.lrange(key, start, start + SUMMARY_BATCH_SIZE - 1):
            start += SUMMARY_BATCH_SIZE
            yield ids


def split_budget(sizes: Sequence[int], budget: int) -> list[int]:
    """Return how many entries to read of each source.

    Small sources are read completely. Large sources share the rest of the budget equally.

    Args:
        sizes: the number of entries of each source.
        budget: the maximum number of entries to read.
    """
    shares, left = [0] * len(sizes), budget
    for rank, source in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[source] = min(sizes[source], left // (len(sizes) - rank))
        left -= shares[source]
    return shares


def _sources(query: Query) -> list[tuple[str, str]]:
    queues = [keys.queue_name(priority) for priority in PRIORITIES if query.priority in (None, priority)]
    states = [query.state] if query.state else list(State)
    return [
        (kind, key + queue) for state in states for kind, key in REGISTRIES_BY_STATE[state] for queue in queues
    ]


def _message_id(member: str) -> str:
    """Return the id of a message from the member of a registry. A running message is listed as `id:run`."""
    return member.partition(":")[0]


def _has_only_registry_filters(query: Query) -> bool:
    """Return whether a query filters by state and priority only, which select the registries to read."""
    return query == Query(state=query.state, priority=query.priority)


def _summary(message_id: str, row: list[str]) -> Summary | None:
    if len(row) <= 1:
        return None
    status, user, channel, priority, attempts, crashes, error, finished, ready, created, conversation, *rest = row
    state = STATE_BY_RQ_STATUS.get(status)
    if state is None:  # a job of another program
        return None
    try:
        last_error = _decode_error(error) if error else None
        accepted = round(datetime.fromisoformat(created).timestamp() * 1000)
        return Summary(
            message_id=message_id,
            state=state,
            conversation_id=conversation,
            agent_id=rest[1],
            user_id=user,
            channel=channel,
            priority=int(priority or 0),
            attempts=int(attempts or 0),
            crashes=int(crashes or 0),
            error=last_error,
            group=group_key(signature(last_error)) if last_error else None,
            at=int(finished or ready or accepted),
            accepted_at=accepted,
            finished_on=int(finished) if finished else None,
            edition=rest[0] or None,
            progress=int(rest[2] or 0),
        )
    except ValueError:  # another program wrote into the hash; `message show` may say more
        return None


def _decode_error(text: str) -> dict[str, Any]:
    try:
        return _error_decoder.decode(text)
    except msgspec.MsgspecError:  # another program wrote it; the message is listed all the same
        return {}


def _matches(item: Summary, query: Query, now: int) -> bool:
    return (
        query.state in (None, item.state)
        and query.channel in (None, item.channel)
        and query.agent in (None, item.agent_id)
        and query.user in (None, item.user_id)
        and query.priority in (None, item.priority)
        and (query.error is None or query.error.lower() in _searchable_text(item.error or {}))
        and (query.group is None or (item.group or "").startswith(query.group))
        and (query.since is None or item.at >= (now - query.since) * 1000)
        and (query.until is None or item.at <= (now - query.until) * 1000)
    )


def _searchable_text(error: Mapping[str, Any]) -> str:
    """Return the text that the error filter searches."""
    return f"{error.get('code', '')} {error.get('text', '')}".lower()
