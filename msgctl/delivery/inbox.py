"""The frames for one gateway's sockets: a stream of its own, read as they come."""

from collections.abc import AsyncIterator

import msgspec
from redis.exceptions import ResponseError

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.delivery.outage import Outage
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import dedicated

BATCH = 200
"""Frames read at once."""
BLOCK = 5.0
"""Seconds a read waits inside Redis; it ends at once when something comes."""


MOVED = "moved"
"""Instead of a frame that was given to another socket of the same user, since this gateway was silent for long."""


class Frame(msgspec.Struct, frozen=True):
    """One event for one socket."""

    socket_id: str
    conversation_id: str
    seq: int
    """The response's number in its conversation; 0 if it has none."""
    kind: str
    """`response`, `failure` or `MOVED`."""
    body: str
    """A `messages.Response` or `messages.Failure` as JSON; empty where it moved."""


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

    async def frames(self) -> AsyncIterator[list[Frame]]:
        """Batches of frames for ever; an outage of Redis only delays them."""
        outage = Outage("read the inbox")
        async with dedicated(self._settings, blocking=BLOCK) as waiting:
            while True:
                entries = await outage.attempt(lambda: self._read(waiting))
                if entries:
                    frames = [_frame(fields) for _, fields in entries]
                    yield frames
                    self._last = entries[-1][0]
                    # A frame that went elsewhere is no longer there, and says so itself.
                    self._read_so_far += len(frames) + sum(frame.kind == MOVED for frame in frames)

    async def lost(self, redis: RedisClient) -> int:
        """How many frames were dropped unread since this was asked last, because more came than may wait.

        Told once all that is left is read, and before that 0: by what Redis 7.0 and newer count as added. An older
        one does not tell; a client then sees the gap in the numbers.
        """
        read = self._read_so_far
        try:
            stream = await redis.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0  # nothing ever came
        added = stream.get("entries-added")
        newest = stream["last-entry"]
        behind = newest is not None and _position(newest[0]) > _position(self._last)
        if added is None or behind or read != self._read_so_far:
            return 0
        self._read_so_far = int(added)  # fewer than were read: Redis itself has forgotten some
        return max(0, int(added) - read)

    async def _read(self, waiting: RedisClient) -> list[tuple[str, dict[str, str]]]:
        """Drop what was read, whatever came since is kept; and wait for more. One round trip does both."""
        milliseconds, number = _position(self._last)
        pipeline = waiting.pipeline(transaction=False)
        pipeline.execute_command("XTRIM", self._key, "MINID", f"{milliseconds}-{number + 1}")
        pipeline.execute_command(
            "XREAD", "BLOCK", int(BLOCK * 1000), "COUNT", BATCH, "STREAMS", self._key, self._last
        )
        _, reply = await pipeline.execute()
        return reply[0][1] if reply else []


def _position(entry: str) -> tuple[int, int]:
    milliseconds, number = entry.split("-")
    return int(milliseconds), int(number)


def _frame(fields: dict[str, str]) -> Frame:
    return Frame(
        socket_id=fields["socket"],
        conversation_id=fields["conversation"],
        seq=int(fields["seq"]),
        kind=fields["kind"],
        body=fields["body"],
    )
