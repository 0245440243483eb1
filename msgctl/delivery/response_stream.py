"""The durable stream of responses: read by a group of subscribers, each entry handled by one of them.

What a lost reply carried, and what a killed subscriber held, is found among the pending entries; nothing that is
still to deliver is ever trimmed.
"""

import time
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from msgctl.channels.names import channel_names
from msgctl.config.settings import Settings
from msgctl.delivery.stream_entry import StreamEntry, parse_entry
from msgctl.delivery.stream_recovery import StreamRecovery
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.lua import Script

MAINTAIN_STREAM = Script.beside(__file__, "maintain_stream")
DEREGISTER_SUBSCRIBER = Script.beside(__file__, "deregister_subscriber")

STREAM_READ_COUNT = 100
"""Entries read at once."""
STREAM_BLOCK_S = 5.0
"""Seconds a read waits inside Redis; it ends at once when something comes."""
MAX_RESCHEDULED_PER_RUN = 500
"""Postponed deliveries that one look puts back into the stream."""
PRUNE_SUBSCRIBER_AFTER_MS = 600_000
"""Milliseconds after which a silent subscriber or gateway leaves its register."""
RESPONSE_STREAM, CONSUMER_GROUP = keys.RESPONSES, keys.RESPONSES_GROUP

log = logs.get_logger(__name__)


class ResponseStream:
    """One subscriber's view of the stream.

    Args:
        redis: a client for short commands.
        settings: where Redis is, and `delivery.*`.
        name: the subscriber's name, unique among the living.
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
        """Ids that this process works at: pending, but not to be read again."""

    async def close(self) -> None:
        """Let go of the connection that waits."""
        await self._blocking_client.aclose()

    async def read(self) -> list[StreamEntry]:
        """The next entries: first what is pending here and not held, then what is new, waiting for it in Redis."""
        try:
            if self._pending_after is None:
                return await self._parse_entries(await self._read(">", block=STREAM_BLOCK_S))
            found = await self._read(self._pending_after)
            self._pending_after = found[-1][0] if found else None
            return await self._parse_entries(found)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.ensure_group()
            return []
        except BaseException:
            self.reread_pending()  # the reply may have carried entries: they are pending now
            raise

    def reread_pending(self) -> None:
        """Look through the own pending entries before the next new one."""
        self._pending_after = "0"

    async def ensure_group(self) -> None:
        """Make the consumer group, where all that is delivered ends; say so if it was there before and is lost."""
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
                "The consumer group was lost and is made anew",
                group=CONSUMER_GROUP,
                stream=RESPONSE_STREAM,
                after=settled,
            )
            await self._redis.set(keys.RESPONSES_LOST, int(time.time() * 1000), nx=True)
        self.reread_pending()

    async def maintain(self) -> None:
        """Say that this subscriber lives, put back what is due or lost, trim; to be called each second."""
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
        """Renew the hold on what is worked at, so that no other subscriber takes it over."""
        held: Any = sorted(self.in_flight)
        if held:
            await self._redis.xclaim(RESPONSE_STREAM, CONSUMER_GROUP, self._name, 0, held, justid=True)

    async def take_over(self) -> list[StreamEntry]:
        """What others have held for too long without a sign of life."""
        idle = int(self._settings.takeover * 1000)
        try:
            reply = await self._redis.xautoclaim(
                RESPONSE_STREAM,
                CONSUMER_GROUP,
                self._name,
                idle,
                start_id=self._autoclaim_cursor,
                count=STREAM_READ_COUNT,
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []  # `tend` makes it anew
        self._autoclaim_cursor = reply[0]
        found = [(entry_id, fields) for entry_id, fields in reply[1] if entry_id]
        if found:
            log.warning("Took over deliveries of a silent subscriber", entries=len(found), subscriber=self._name)
        return await self._parse_entries(found)

    async def count_pending(self) -> int:
        """How many entries subscribers hold, all of them together, that are not settled yet."""
        found = await self._redis.xpending(RESPONSE_STREAM, CONSUMER_GROUP)
        return int(found["pending"])

    async def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """These are over."""
        if ids := list(entry_ids):
            await self._redis.xack(RESPONSE_STREAM, CONSUMER_GROUP, *ids)

    async def deregister(self) -> None:
        """Go: off the register, and what is pending here is anyone's at once."""
        left = await DEREGISTER_SUBSCRIBER(self._redis, self._name)
        if left:
            log.info("Deliveries are left to other subscribers", entries=left, subscriber=self._name)

    async def _read(self, after: str, *, block: float | None = None) -> list[tuple[str, dict[str, str]]]:
        reply: Any = await self._blocking_client.xreadgroup(
            CONSUMER_GROUP,
            self._name,
            {RESPONSE_STREAM: after},
            count=STREAM_READ_COUNT,
            block=int(block * 1000) if block else None,
        )
        return reply[0][1] if reply else []

    async def _parse_entries(self, found: list[tuple[str, dict[str, str]]]) -> list[StreamEntry]:
        entries, unreadable = [], []
        for entry_id, fields in found:
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
    """The greatest id below an entry's, so that a group which starts there reads that entry."""
    milliseconds, number = (int(part) for part in entry_id.split("-"))
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{max(0, milliseconds - 1)}-{2**64 - 1 if milliseconds else 0}"
