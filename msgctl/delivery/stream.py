"""The durable stream of responses: read by a group of subscribers, each entry handled by one of them.

What a lost reply carried, and what a killed subscriber held, is found among the pending entries; nothing that is
still to deliver is ever trimmed.
"""

import time
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from msgctl import contracts, logs
from msgctl.channels.names import channel_names
from msgctl.config.settings import Settings
from msgctl.delivery.entry import Entry, read_entry
from msgctl.delivery.recovery import Recovery
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import dedicated
from msgctl.redisdb.script import Script

TEND = Script.beside(__file__, "maintain_stream")
LEAVE = Script.beside(__file__, "deregister_subscriber")

BATCH = 100
"""Entries read at once."""
BLOCK = 5.0
"""Seconds a read waits inside Redis; it ends at once when something comes."""
PUT_BACK = 500
"""Postponed deliveries that one look puts back into the stream."""
FORGOTTEN = 600_000
"""Milliseconds after which a silent subscriber or gateway leaves its register."""
STREAM, GROUP = contracts.RESPONSES, contracts.RESPONSES_GROUP

log = logs.get(__name__)


class ResponseStream:
    """One subscriber's view of the stream.

    Args:
        redis: a client for short commands.
        settings: where Redis is, and `delivery.*`.
        name: the subscriber's name, unique among the living.
    """

    def __init__(self, redis: RedisClient, settings: Settings, name: str) -> None:
        self._redis = redis
        self._waiting = dedicated(settings, blocking=BLOCK)
        self._settings = settings.delivery
        self._recovery = Recovery(redis, settings)
        self._name = name
        self._own_after: str | None = "0"
        self._look_from = "0-0"
        self.held: set[str] = set()
        """Ids that this process works at: pending, but not to be read again."""

    async def close(self) -> None:
        """Let go of the connection that waits."""
        await self._waiting.aclose()

    async def read(self) -> list[Entry]:
        """The next entries: first what is pending here and not held, then what is new, waiting for it in Redis."""
        try:
            if self._own_after is None:
                return await self._accept(await self._read(">", block=BLOCK))
            found = await self._read(self._own_after)
            self._own_after = found[-1][0] if found else None
            return await self._accept(found)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.ensure_group()
            return []
        except BaseException:
            self.recover()  # the reply may have carried entries: they are pending now
            raise

    def recover(self) -> None:
        """Look through the own pending entries before the next new one."""
        self._own_after = "0"

    async def ensure_group(self) -> None:
        """Make the consumer group, where all that is delivered ends; say so if it was there before and is lost."""
        settled = await self._redis.get(contracts.RESPONSES_SETTLED)
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id=_before(settled) if settled else "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
            return
        if settled:
            log.error("The consumer group was lost and is made anew", group=GROUP, stream=STREAM, after=settled)
            await self._redis.set(contracts.RESPONSES_LOST, int(time.time() * 1000), nx=True)
        self.recover()

    async def tend(self) -> None:
        """Say that this subscriber lives, put back what is due or lost, trim; to be called each second."""
        lost = await TEND(
            self._redis, self._name, PUT_BACK, self._settings.max_stream, FORGOTTEN, *channel_names()
        )
        if lost < 0:
            await self.ensure_group()
        elif lost:
            await self._recovery.run()

    async def keep(self) -> None:
        """Renew the hold on what is worked at, so that no other subscriber takes it over."""
        held: Any = sorted(self.held)
        if held:
            await self._redis.xclaim(STREAM, GROUP, self._name, 0, held, justid=True)

    async def take_over(self) -> list[Entry]:
        """What others have held for too long without a sign of life."""
        idle = int(self._settings.takeover * 1000)
        try:
            reply = await self._redis.xautoclaim(
                STREAM, GROUP, self._name, idle, start_id=self._look_from, count=BATCH
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []  # `tend` makes it anew
        self._look_from = reply[0]
        found = [(entry_id, fields) for entry_id, fields in reply[1] if entry_id]
        if found:
            log.warning("Took over deliveries of a silent subscriber", entries=len(found), subscriber=self._name)
        return await self._accept(found)

    async def pending(self) -> int:
        """How many entries subscribers hold, all of them together, that are not settled yet."""
        found = await self._redis.xpending(STREAM, GROUP)
        return int(found["pending"])

    async def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """These are over."""
        if ids := list(entry_ids):
            await self._redis.xack(STREAM, GROUP, *ids)

    async def leave(self) -> None:
        """Go: off the register, and what is pending here is anyone's at once."""
        left = await LEAVE(self._redis, self._name)
        if left:
            log.info("Deliveries are left to other subscribers", entries=left, subscriber=self._name)

    async def _read(self, after: str, *, block: float | None = None) -> list[tuple[str, dict[str, str]]]:
        reply: Any = await self._waiting.xreadgroup(
            GROUP, self._name, {STREAM: after}, count=BATCH, block=int(block * 1000) if block else None
        )
        return reply[0][1] if reply else []

    async def _accept(self, found: list[tuple[str, dict[str, str]]]) -> list[Entry]:
        entries, unreadable = [], []
        for entry_id, fields in found:
            if entry_id in self.held:
                continue
            entry = read_entry(entry_id, fields or {})
            if entry is None:
                unreadable.append(entry_id)
            else:
                entries.append(entry)
        await self.acknowledge(unreadable)
        return entries


def _before(entry_id: str) -> str:
    """The greatest id below an entry's, so that a group which starts there reads that entry."""
    milliseconds, number = (int(part) for part in entry_id.split("-"))
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{max(0, milliseconds - 1)}-{2**64 - 1 if milliseconds else 0}"
