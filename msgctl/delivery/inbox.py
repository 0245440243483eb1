"""The frames for one gateway's sockets: a stream of its own, read as they come."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from redis.asyncio import Redis

from msgctl import contracts
from msgctl.config import Settings
from msgctl.delivery.outage import Outage
from msgctl.redisdb import dedicated

BATCH = 200
"""Frames read at once."""
BLOCK = 5.0
"""Seconds a read waits inside Redis; it ends at once when something comes."""


class Frame(msgspec.Struct, frozen=True):
    """One event for one socket."""

    socket_id: str
    conversation_id: str
    seq: int
    """The response's number in its conversation; 0 if it has none."""
    kind: str
    """`response` or `failure`."""
    body: str
    """A `messages.Response` or `messages.Failure` as JSON."""


class Inbox:
    """Reads and trims the stream of one gateway.

    Args:
        redis: a client for short commands.
        settings: where Redis is.
        gateway: whose inbox it is.
    """

    def __init__(self, redis: Redis, settings: Settings, gateway: str) -> None:
        self._redis = redis
        self._settings = settings
        self._key = contracts.INBOX + gateway
        self._last = "0-0"

    async def frames(self) -> AsyncIterator[list[Frame]]:
        """Batches of frames for ever; an outage of Redis only delays them."""
        outage = Outage(self._settings, "read the inbox")
        async with dedicated(self._settings, blocking=BLOCK) as waiting:
            while True:
                entries = await outage.attempt(lambda: self._read(waiting))
                if not entries:
                    continue
                self._last = entries[-1][0]
                yield [_frame(fields) for _, fields in entries]
                await outage.attempt(self._trim)

    async def _read(self, waiting: Redis) -> list[tuple[str, dict[str, str]]]:
        reply: Any = await waiting.xread({self._key: self._last}, count=BATCH, block=int(BLOCK * 1000))
        return reply[0][1] if reply else []

    async def _trim(self) -> None:
        """Drop what was read; whatever came since is kept."""
        milliseconds, number = self._last.split("-")
        await self._redis.xtrim(self._key, minid=f"{milliseconds}-{int(number) + 1}", approximate=False)


def _frame(fields: dict[str, str]) -> Frame:
    return Frame(
        socket_id=fields["socket"],
        conversation_id=fields["conversation"],
        seq=int(fields["seq"]),
        kind=fields["kind"],
        body=fields["body"],
    )
