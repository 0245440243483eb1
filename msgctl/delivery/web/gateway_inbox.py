"""The frames for one gateway's sockets: a stream of its own, read as they come."""

from collections.abc import AsyncIterator

import msgspec
from redis.exceptions import ResponseError

from msgctl.config.settings import Settings
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.retry import RedisRetry

INBOX_READ_COUNT = 200
"""Frames read at once."""
INBOX_BLOCK_S = 5.0
"""Seconds a read waits inside Redis; it ends at once when something comes."""


MOVED_KIND = "moved"
"""Instead of a frame that was given to another socket of the same user, since this gateway was silent for long."""


class InboxFrame(msgspec.Struct, frozen=True):
    """One event for one socket."""

    socket_id: str
    conversation_id: str
    seq: int
    """The response's number in its conversation; 0 if it has none."""
    kind: str
    """`response`, `failure` or `MOVED`."""
    body: str
    """A `messages.Response` or `messages.Failure` as JSON; empty where it moved."""


class GatewayInbox:
    """Reads and trims the stream of one gateway.

    Args:
        settings: where Redis is.
        gateway: whose inbox it is.
    """

    def __init__(self, settings: Settings, gateway: str) -> None:
        self._settings = settings
        self._key = keys.INBOX + gateway
        self._last_id = "0-0"
        self._read_count = 0

    async def read_frames(self) -> AsyncIterator[list[InboxFrame]]:
        """Batches of frames for ever; an outage of Redis only delays them."""
        outage = RedisRetry("read the inbox")
        async with blocking_client(self._settings, max_block_s=INBOX_BLOCK_S) as waiting:
            while True:
                entries = await outage.attempt(lambda: self._read(waiting))
                if entries:
                    frames = [_to_frame(fields) for _, fields in entries]
                    yield frames
                    self._last_id = entries[-1][0]
                    # A frame that went elsewhere is no longer there, and says so itself.
                    self._read_count += len(frames) + sum(frame.kind == MOVED_KIND for frame in frames)

    async def count_lost(self, redis: RedisClient) -> int:
        """How many frames were dropped unread since this was asked last, because more came than may wait.

        Told once all that is left is read, and before that 0: by what Redis 7.0 and newer count as added. An older
        one does not tell; a client then sees the gap in the numbers.
        """
        read = self._read_count
        try:
            stream = await redis.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0  # nothing ever came
        added = stream.get("entries-added")
        newest = stream["last-entry"]
        behind = newest is not None and _parse_entry_id(newest[0]) > _parse_entry_id(self._last_id)
        if added is None or behind or read != self._read_count:
            return 0
        self._read_count = int(added)  # fewer than were read: Redis itself has forgotten some
        return max(0, int(added) - read)

    async def _read(self, waiting: RedisClient) -> list[tuple[str, dict[str, str]]]:
        """Drop what was read, whatever came since is kept; and wait for more. One round trip does both."""
        milliseconds, number = _parse_entry_id(self._last_id)
        pipeline = waiting.pipeline(transaction=False)
        pipeline.execute_command("XTRIM", self._key, "MINID", f"{milliseconds}-{number + 1}")
        pipeline.execute_command(
            "XREAD",
            "BLOCK",
            int(INBOX_BLOCK_S * 1000),
            "COUNT",
            INBOX_READ_COUNT,
            "STREAMS",
            self._key,
            self._last_id,
        )
        _, reply = await pipeline.execute()
        return reply[0][1] if reply else []


def _parse_entry_id(entry: str) -> tuple[int, int]:
    milliseconds, number = entry.split("-")
    return int(milliseconds), int(number)


def _to_frame(fields: dict[str, str]) -> InboxFrame:
    return InboxFrame(
        socket_id=fields["socket"],
        conversation_id=fields["conversation"],
        seq=int(fields["seq"]),
        kind=fields["kind"],
        body=fields["body"],
    )
