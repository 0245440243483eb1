"""The progress of running messages, written for all of them in one call."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from msgctl.domain.messages import Message
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.lua import Script

if TYPE_CHECKING:
    from msgctl.queue.leases import LeasedMessage  # it imports this module

WRITE_PROGRESS = Script.beside(__file__, "update_progress")
COALESCE_WINDOW_S = 0.02
"""Seconds for which progress is collected before it is written. A commit within this time publishes it instead.
This saves three of eight round trips at 50 messages a second."""

log = logs.get_logger(__name__)


class ProgressWriter:
    """Writes the progress of running messages to Redis, for all of them in one call. No message waits for it.

    Progress that is lost in an outage of Redis is not repeated, because later progress replaces it.

    Args:
        redis: a client made by `connect`.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._unwritten: dict[str, tuple[LeasedMessage, list[int]]] = {}
        self._has_unwritten = asyncio.Event()

    def record(self, leased: "LeasedMessage", progress: int) -> None:
        """Record that a message has reached `progress` (0 to 100)."""
        self._unwritten.setdefault(leased.lease, (leased, []))[1].append(progress)
        self._has_unwritten.set()

    def take_unwritten(self, leased: "LeasedMessage") -> list[int]:
        """Return and forget the unwritten progress of a message. The caller must publish it."""
        return self._unwritten.pop(leased.lease, (leased, []))[1]

    async def flush(self, leased: "LeasedMessage") -> None:
        """Write the progress of one message now."""
        if steps := self.take_unwritten(leased):
            with suppress(*REDIS_FAULTS):
                await self._write([(leased, steps)])

    async def run(self) -> None:
        """Write recorded progress until cancelled."""
        while True:
            await self._has_unwritten.wait()
            await asyncio.sleep(COALESCE_WINDOW_S)
            self._has_unwritten.clear()
            unwritten, self._unwritten = self._unwritten, {}
            try:
                if unwritten:
                    await self._write(unwritten.values())
            except REDIS_FAULTS:
                log.debug("Progress not written", messages=len(unwritten))

    async def _write(self, unwritten: Iterable[tuple["LeasedMessage", list[int]]]) -> None:
        arguments: list[str | bytes | float] = []
        for leased, steps in unwritten:
            message = leased.message
            arguments += (
                message.message_id,
                leased.run,
                " ".join(map(str, steps)),
                encode_progress_prefix(message),
            )
        await WRITE_PROGRESS(self._redis, *arguments)


def encode_progress_prefix(message: Message) -> bytes:
    """Return the progress event of a message as JSON up to the number, which the script appends."""
    event = {
        "messageId": message.message_id,
        "conversationId": message.conversation_id,
        "userId": message.user_id,
    }
    return msgspec.json.encode(event)[:-1] + b',"progress":'
