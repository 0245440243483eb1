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
        settings: where Redis is.
        gateway: whose inbox it is.
    """

    def __init__(self, settings: Settings, gateway: str) -> None:
        self._settings = settings
        self._key = contracts.INBOX + gateway
        self._last = "0-0"

    async def frames(self) -> AsyncIterator[list[Frame]]:
        """Batches of frames for ever; an outage of Redis only delays them."""
        outage = Outage(self._settings, "read the inbox")
        async with dedicated(self._settings, blocking=BLOCK) as waiting:
            while True:
                entries = await outage.attempt(lambda: self._read(waiting))
                if entries:
                    yield [_frame(fields) for _, fields in entries]
                    self._last = entries[-1][0]

    async def _read(self, waiting: Redis) -> list[tuple[str, dict[str, str]]]:
        """Drop what was read, whatever came since is kept; and wait for more. One round trip does both."""
        milliseconds, number = self._last.split("-")
        pipeline: Any = waiting.pipeline(transaction=False)
        pipeline.execute_command("XTRIM", self._key, "MINID", f"{milliseconds}-{int(number) + 1}")
        pipeline.execute_command(
            "XREAD", "BLOCK", int(BLOCK * 1000), "COUNT", BATCH, "STREAMS", self._key, self._last
        )
        _, reply = await pipeline.execute()
        return reply[0][1] if reply else []


def _frame(fields: dict[str, str]) -> Frame:
    return Frame(
        socket_id=fields["socket"],
        conversation_id=fields["conversation"],
        seq=int(fields["seq"]),
        kind=fields["kind"],
        body=fields["body"],
    )
