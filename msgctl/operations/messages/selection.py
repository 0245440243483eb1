"""The messages a query means: the newest of them for the eye, or every one for an act; no call holds Redis up."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from msgctl.aio import prefetch
from msgctl.domain.messages import PRIORITIES, State, WireStruct
from msgctl.operations.context import Context
from msgctl.operations.dead_letters.signatures import group_key, signature
from msgctl.operations.messages.listing import REGISTRIES_BY_STATE
from msgctl.operations.messages.query import Query
from msgctl.queue.job import STATE_BY_RQ_STATUS
from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import Script

READ_SUMMARIES = Script.beside(__file__, "read_summaries")
SummaryRows = tuple[Sequence[str], list[list[str]]]
"""Ids, and what `READ` says of each: empty where there is no such message, short where its text lacks the part."""
SUMMARY_BATCH_SIZE = 250
"""Messages read at once: about four milliseconds of Redis's time."""
REGISTRY_SCAN_COUNT = 230
"""Entries of a registry asked for at once; a dozen more may come, which still fit into one batch."""
SEARCH_WINDOW = 10_000
"""Messages a bounded look reads at most."""

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
    """The key of that error's signature."""
    at: int
    """Unix milliseconds of its end, else since when it has been ready, else of its acceptance."""
    accepted_at: int
    finished_on: int | None
    edition: str | None
    """The id of the edited message that was sent in its place."""


class Window(msgspec.Struct, kw_only=True, frozen=True):
    """What a bounded look found, and how far it looked."""

    items: list[Summary]
    looked_at: int
    total: int


class Selection:
    """Finds the messages of a query.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis

    async def newest(self, query: Query, limit: int, window: int = SEARCH_WINDOW) -> Window:
        """The newest messages of a query, from a bounded window.

        Args:
            query: what is looked for.
            limit: messages to return at most.
            window: messages to read at most, the newest of each state and priority.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        sources = _sources(query)
        share = limit if _has_only_registry_filters(query) else max(SUMMARY_BATCH_SIZE, window // len(sources))
        pipeline = self._redis.pipeline(transaction=False)
        for kind, key in sources:
            if kind == "list":
                pipeline.llen(key)
                pipeline.lrange(key, -share, -1)
            else:
                pipeline.zcard(key)
                pipeline.zrange(key, 0, share - 1, desc=kind != "oldest")
        answers = await pipeline.execute()
        ids = list(dict.fromkeys(_message_id(member) for members in answers[1::2] for member in members))
        items = [item async for batch in self.read(ids, query) for item in batch]
        items.sort(key=lambda item: (-item.at, item.message_id))
        return Window(items=items[:limit], looked_at=len(ids), total=sum(answers[::2]))

    async def walk(self, query: Query, *, gone: list[str] | None = None) -> AsyncIterator[list[Summary]]:
        """Every message of a query, in batches and in no order; what comes or goes meanwhile may be missed.

        Args:
            query: what is looked for.
            gone: gets the ids that a registry names and whose record has gone.
        """
        async for batch in self._filter(self._scan(query), query, gone):
            yield batch

    async def all(self, query: Query, *, gone: list[str] | None = None) -> list[Summary]:
        """The same at once, oldest first and each once."""
        found = {item.message_id: item async for batch in self.walk(query, gone=gone) for item in batch}
        return sorted(found.values(), key=lambda item: (item.at, item.message_id))

    async def read(self, ids: Sequence[str], query: Query | None = None) -> AsyncIterator[list[Summary]]:
        """Read messages in batches; what does not answer to the query, or is gone, is left out."""
        query = query or Query()
        async for batch in self._filter(self._fetch(ids, query), query, None):
            yield batch

    async def _filter(
        self, fetched: AsyncGenerator[SummaryRows], query: Query, gone: list[str] | None
    ) -> AsyncIterator[list[Summary]]:
        now, _ = await self._redis.time()
        async with prefetch(fetched) as batches:
            async for ids, rows in batches:
                if gone is not None:
                    gone += [message_id for message_id, row in zip(ids, rows, strict=True) if not row]
                items = (_summary(message_id, row) for message_id, row in zip(ids, rows, strict=True) if row)
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
        start, found = 0, ["…"]
        while found:
            found = await self._redis.lrange(key, start, start + SUMMARY_BATCH_SIZE - 1)
            start += SUMMARY_BATCH_SIZE
            yield found


def _sources(query: Query) -> list[tuple[str, str]]:
    queues = [keys.queue_name(priority) for priority in PRIORITIES if query.priority in (None, priority)]
    states = [query.state] if query.state else list(State)
    return [
        (kind, key + queue) for state in states for kind, key in REGISTRIES_BY_STATE[state] for queue in queues
    ]


def _message_id(member: str) -> str:
    """Of a member of a registry; what runs now is listed as `id:run`."""
    return member.partition(":")[0]


def _has_only_registry_filters(query: Query) -> bool:
    """Whether nothing is asked but state and priority, which decide where to look."""
    return query == Query(state=query.state, priority=query.priority)


def _summary(message_id: str, row: list[str]) -> Summary | None:
    if len(row) == 1:
        return None
    status, user, channel, priority, attempts, crashes, error, finished, ready, created, conversation, *rest = row
    state = STATE_BY_RQ_STATUS.get(status)
    if state is None:  # a job of somebody else
        return None
    try:
        known = _error_decoder.decode(error) if error else None
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
            error=known,
            group=group_key(signature(known)) if known else None,
            at=int(finished or ready or accepted),
            accepted_at=accepted,
            finished_on=int(finished) if finished else None,
            edition=rest[0] or None,
        )
    except ValueError:  # another program wrote into the hash: it is not listed, `message show` may say more
        return None


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
    """What `--error` is looked for in."""
    return f"{error.get('code', '')} {error.get('text', '')}".lower()
