"""The newest deliveries with their state, and the means to retry and drop deliveries."""

from collections.abc import Mapping, Sequence

import msgspec

from msgctl.domain.messages import WireStruct
from msgctl.operations.context import Context, Operation
from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import Script

RETRY_OR_DROP = Script.beside(__file__, "retry_or_drop")
DELIVERY_FIELDS = ("state", "attempts", "providerId", "code", "text", "endedAt")


class DeliverySummary(WireStruct, kw_only=True, frozen=True):
    """One response, or the notification of a failure, on its way to a customer."""

    stream_id: str
    message_id: str
    kind: str
    channel: str
    state: str
    """The state of its record. `new` before the first attempt."""
    attempts: int
    provider_id: str
    code: str
    text: str
    at: int
    """Unix milliseconds of its entry in the stream."""


class _MessageIdBody(msgspec.Struct, rename="camel"):
    message_id: str = ""


class Deliveries(Operation):
    """Reads the response stream from its end. Keep one instance for repeated reads: it reads each entry once."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._entries: dict[str, tuple[str, str, str]] = {}

    async def newest(self, limit: int) -> list[DeliverySummary]:
        """Return the newest deliveries, each once and with the state of its record.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        last = next(iter(self._entries), None)
        since = f"({last}" if last else "-"
        found = await self._redis.xrevrange(keys.RESPONSES, min=since, count=limit)
        fresh = {str(stream_id): _entry(fields) for stream_id, fields in found}
        self._entries = dict(list(_newest_per_event(fresh | self._entries).items())[:limit])
        pipeline = self._redis.pipeline(transaction=False)
        for _, message_id, _ in self._entries.values():
            pipeline.hmget(keys.DELIVERY + message_id, DELIVERY_FIELDS)
        records = await pipeline.execute() if self._entries else []
        return [
            _delivery(stream_id, entry, record)
            for (stream_id, entry), record in zip(self._entries.items(), records, strict=True)
        ]

    async def retry(self, message_ids: Sequence[str], *, dry_run: bool = False) -> dict[str, str]:
        """Send deliveries again that are FAILED or UNKNOWN. Return by id `retried`, `missing`, or the state.

        Args:
            message_ids: the ids of the messages.
            dry_run: change nothing. The outcome of a delivery that can be retried is `would_retry`.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._retry_or_drop("retry", message_ids, dry_run=dry_run)

    async def drop(self, message_ids: Sequence[str], *, dry_run: bool = False) -> dict[str, str]:
        """Give up deliveries that wait for their next attempt. Return by id `dropped`, `missing`, or the state.

        Args:
            message_ids: the ids of the messages.
            dry_run: change nothing. The outcome of a delivery that can be dropped is `would_drop`.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._retry_or_drop("drop", message_ids, dry_run=dry_run)

    async def _retry_or_drop(self, action: str, message_ids: Sequence[str], *, dry_run: bool) -> dict[str, str]:
        outcomes = await RETRY_OR_DROP(self._redis, action, int(dry_run), *message_ids)
        return dict(zip(message_ids, outcomes, strict=True))


def _newest_per_event(entries: Mapping[str, tuple[str, str, str]]) -> dict[str, tuple[str, str, str]]:
    """Return the newest entry of each delivery. A postponed delivery comes back as another entry."""
    newest: dict[tuple[str, str], str] = {}
    for stream_id, (kind, message_id, _) in entries.items():
        newest.setdefault((kind, message_id or stream_id), stream_id)
    return {stream_id: entries[stream_id] for stream_id in newest.values()}


def _entry(fields: Mapping[str, str]) -> tuple[str, str, str]:
    try:
        message_id = msgspec.json.decode(fields.get("body", ""), type=_MessageIdBody).message_id
    except msgspec.MsgspecError:
        message_id = ""
    return fields.get("kind", "?"), message_id, fields.get("channel", "?")


def _delivery(stream_id: str, entry: tuple[str, str, str], record: list[str | None]) -> DeliverySummary:
    kind, message_id, channel = entry
    state, attempts, provider_id, code, text, _ = record
    return DeliverySummary(
        stream_id=stream_id,
        message_id=message_id,
        kind=kind,
        channel=channel,
        state=state or "new",
        attempts=int(attempts or 0),
        provider_id=provider_id or "",
        code=code or "",
        text=text or "",
        at=int(stream_id.partition("-")[0]),
    )
