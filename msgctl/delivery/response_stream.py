"""The durable stream of responses: a group of subscribers reads it, and one of them handles each entry.

Entries whose read reply was lost, or whose subscriber was killed, stay pending and are read again. An entry that
is still to be delivered is never trimmed.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from msgctl.channels.names import channel_names
from msgctl.config.settings import Settings
from msgctl.delivery.stream_recovery import StreamRecovery
from msgctl.domain.messages import Channel, Failure, Reply, Response
from msgctl.domain.times import timestamp
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.lua import Script

MAINTAIN_STREAM = Script.beside(__file__, "maintain_stream")
DEREGISTER_SUBSCRIBER = Script.beside(__file__, "deregister_subscriber")

STREAM_READ_COUNT = 100
"""Entries per read."""
STREAM_BLOCK_S = 5.0
"""Seconds that a read waits inside Redis for a new entry."""
MAX_RESCHEDULED_PER_RUN = 500
"""Postponed deliveries that one maintenance run puts back into the stream."""
PRUNE_SUBSCRIBER_AFTER_MS = 600_000
"""Milliseconds without a heartbeat after which a subscriber or gateway leaves its register."""
RESPONSE_STREAM, CONSUMER_GROUP = keys.RESPONSES, keys.RESPONSES_GROUP

log = logs.get_logger(__name__)

_stored_response_decoder = msgspec.json.Decoder(Response)
_stored_failure_decoder = msgspec.json.Decoder(Failure)


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One decoded entry of the stream: a response, or the notice that a message is a dead letter."""

    id: str
    event: Response | Failure
    body: str
    """The event as it is stored, JSON."""
    sockets_reached: int = 0
    """Sockets to which the commit has already sent it; 0: it is still to be routed."""

    @property
    def channel(self) -> Channel:
        """The channel that delivers it."""
        return self.event.channel


def parse_entry(entry_id: str, fields: dict[str, str]) -> StreamEntry | None:
    """Decode a raw entry; log one that cannot be decoded, without its text, and return None."""
    body = fields.get("body", "")
    decoder = _stored_failure_decoder if fields.get("kind") == "failure" else _stored_response_decoder
    try:
        event = decoder.decode(body)
    except msgspec.DecodeError as error:
        log.error("Stream entry cannot be decoded; it is skipped", entry=entry_id, error=str(error))  # noqa: TRY400 - a traceback adds nothing
        return None
    reached = fields.get("reached", "")
    return StreamEntry(entry_id, event, body, int(reached) if reached.isdecimal() else 0)


def with_stream_id(entry: StreamEntry, response: Response) -> Response:
    """Return the response with the id of the stream entry that first carried it."""
    return response if response.stream_id else msgspec.structs.replace(response, stream_id=entry.id)


async def publish_operator_message(
    redis: RedisClient,
    text: str,
    *,
    message_id: str,
    conversation_id: str,
    channel: Channel,
    metadata: Mapping[str, Any],
    author: str,
) -> None:
    """Put a text that no agent wrote into the stream, e.g. a test of a channel or a notice to a customer.

    It is delivered once, even if it is published several times.

    Args:
        redis: a client for short commands.
        text: the text to deliver.
        message_id: the id of its delivery record.
        conversation_id: the conversation. The text gets no sequence number, so it waits for no other response and
            is not part of the history.
        channel: the channel that delivers it.
        metadata: the `channelMetadata`, which holds the address.
        author: stored in place of an agent's id.

    Raises:
        RedisUnavailable: Redis did not answer.
    """
    response = Response(
        message_id=message_id,
        conversation_id=conversation_id,
        agent_id=author,
        response=Reply(message=text),
        channel=channel,
        channel_metadata=dict(metadata),
        timestamp=timestamp(),
    )
    fields: Any = {"kind": "response", "channel": str(channel), "body": response.to_json()}
    await redis.xadd(RESPONSE_STREAM, fields)


class ResponseStream:
    """One subscriber's view of the stream.

    Args:
        redis: a client for short commands.
        settings: the address of Redis, and `delivery.*`.
        name: the subscriber's name, unique among the running ones.
    """

    def __init__(self, redis: RedisClient, settings: Settings, name: str) -> None:
        self._redis = redis
        self._blocking_client = blocking_client(settings, max_block_s=STREAM_BLOCK_S)
        self._settings = settings.delivery
        self._recovery = StreamRecovery(redis, settings)
        self._name = name
        self._pending_after: str | None = "0"
        self._autoclaim_cursor = "0-0"
        self.in_flight: set[str] = set()
        """Ids of the entries that this process is delivering: pending, but not to be read again."""

    async def close(self) -> None:
        """Close the connection that waits for entries."""
        await self._blocking_client.aclose()

    async def read(self) -> list[StreamEntry]:
        """Return this subscriber's pending entries that are not in flight; if none, wait for new ones."""
        try:
            if self._pending_after is None:
                return await self._parse_entries(await self._read(">", block_s=STREAM_BLOCK_S))
            raw_entries = await self._read(self._pending_after)
            self._pending_after = raw_entries[-1][0] if raw_entries else None
            return await self._parse_entries(raw_entries)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.ensure_group()
            return []
        except BaseException:
            self.reread_pending()  # the lost reply may have carried entries: they are pending now
            raise

    def reread_pending(self) -> None:
        """Make `read` return this subscriber's pending entries before the next new one."""
        self._pending_after = "0"

    async def ensure_group(self) -> None:
        """Create the consumer group at the first undelivered entry; log an error if the group existed before."""
        settled = await self._redis.get(keys.RESPONSES_SETTLED)
        try:
            await self._redis.xgroup_create(
                RESPONSE_STREAM, CONSUMER_GROUP, id=_entry_id_before(settled) if settled else "0", mkstream=True
            )
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
            return
        if settled:
            log.error(
                "The consumer group was lost and is created again",
                group=CONSUMER_GROUP,
                stream=RESPONSE_STREAM,
                after=settled,
            )
            await self._redis.set(keys.RESPONSES_LOST, int(time.time() * 1000), nx=True)
        self.reread_pending()

    async def maintain(self) -> None:
        """Send a heartbeat, put back entries that are due or lost, and trim the stream; call it each second."""
        lost = await MAINTAIN_STREAM(
            self._redis,
            self._name,
            MAX_RESCHEDULED_PER_RUN,
            self._settings.max_stream,
            PRUNE_SUBSCRIBER_AFTER_MS,
            *channel_names(),
        )
        if lost < 0:
            await self.ensure_group()
        elif lost:
            await self._recovery.run()

    async def renew_ownership(self) -> None:
        """Reset the idle time of the entries in flight, so that no other subscriber takes them over."""
        in_flight: Any = sorted(self.in_flight)
        if in_flight:
            await self._redis.xclaim(RESPONSE_STREAM, CONSUMER_GROUP, self._name, 0, in_flight, justid=True)

    async def take_over(self) -> list[StreamEntry]:
        """Claim entries that other subscribers have not renewed for `delivery.takeover`, and return them."""
        try:
            reply = await self._redis.xautoclaim(
                RESPONSE_STREAM,
                CONSUMER_GROUP,
                self._name,
                int(self._settings.takeover * 1000),
                start_id=self._autoclaim_cursor,
                count=STREAM_READ_COUNT,
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []  # `maintain` creates it again
        self._autoclaim_cursor = reply[0]
        raw_entries = [(entry_id, fields) for entry_id, fields in reply[1] if entry_id]
        if raw_entries:
            log.warning(
                "Took over deliveries of a subscriber without heartbeat",
                entries=len(raw_entries),
                subscriber=self._name,
            )
        return await self._parse_entries(raw_entries)

    async def count_pending(self) -> int:
        """Return how many entries all subscribers together have read and not acknowledged."""
        summary = await self._redis.xpending(RESPONSE_STREAM, CONSUMER_GROUP)
        return int(summary["pending"])

    async def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """Mark entries as handled."""
        if ids := list(entry_ids):
            await self._redis.xack(RESPONSE_STREAM, CONSUMER_GROUP, *ids)

    async def deregister(self) -> None:
        """Leave the register, and let other subscribers take over the pending entries immediately."""
        left = await DEREGISTER_SUBSCRIBER(self._redis, self._name)
        if left:
            log.info("Deliveries are left to other subscribers", entries=left, subscriber=self._name)

    async def _read(self, after: str, *, block_s: float | None = None) -> list[tuple[str, dict[str, str]]]:
        reply: Any = await self._blocking_client.xreadgroup(
            CONSUMER_GROUP,
            self._name,
            {RESPONSE_STREAM: after},
            count=STREAM_READ_COUNT,
            block=int(block_s * 1000) if block_s else None,
        )
        return reply[0][1] if reply else []

    async def _parse_entries(self, raw_entries: list[tuple[str, dict[str, str]]]) -> list[StreamEntry]:
        entries, unreadable = [], []
        for entry_id, fields in raw_entries:
            if entry_id in self.in_flight:
                continue
            entry = parse_entry(entry_id, fields or {})
            if entry is None:
                unreadable.append(entry_id)
            else:
                entries.append(entry)
        await self.acknowledge(unreadable)
        return entries


def _entry_id_before(entry_id: str) -> str:
    """Return the greatest id below an entry's, so that a group which starts there reads that entry."""
    milliseconds, number = (int(part) for part in entry_id.split("-"))
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{max(0, milliseconds - 1)}-{2**64 - 1 if milliseconds else 0}"
