"""The frames for one gateway's sockets: a stream of its own, read as they come."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

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
        self._read_so_far = 0
        self._added = 0

    async def frames(self) -> AsyncIterator[list[Frame]]:
        """Batches of frames for ever; an outage of Redis only delays them."""
        outage = Outage(self._settings, "read the inbox")
        async with dedicated(self._settings, blocking=BLOCK) as waiting:
            while True:
                entries = await outage.attempt(lambda: self._read(waiting))
                if entries:
                    yield [_frame(fields) for _, fields in entries]
                    self._last = entries[-1][0]
                    self._read_so_far += len(entries)

    async def lost(self, redis: Redis) -> int:
        """How many frames went unread since this was asked last.

        They were given to others, because this gateway was silent for long, or cut, because more came than may
        wait for one gateway. Told by what Redis counts, from 7.0 on; while a batch is being read, fewer may be
        told than were lost, never more.
        """
        try:
            stream = await redis.xinfo_stream(self._key)
        except ResponseError:
            return 0  # nothing ever came
        added = int(stream.get("entries-added", 0))
        began_anew, self._added = added < self._added, added
        lost = added - int(stream["length"]) - self._read_so_far
        if began_anew or lost > 0:
            self._read_so_far += lost
        return 0 if began_anew else max(0, lost)

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
