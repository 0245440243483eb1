"""Progress of messages, listened to only while a socket of this gateway asked for it."""

import asyncio
from typing import Any

import msgspec

from daemons.gateway.ws.connection import WebSocketConnection
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.messages import WireStruct
from msgctl.observability import logs
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.keys import PROGRESS_CHANNEL

log = logs.get_logger(__name__)

REDIS_RETRY_INTERVAL_S = 0.5
"""Seconds before Redis is asked again after it failed."""
PROGRESS_POLL_TIMEOUT_S = 1.0
"""Seconds one look at the channel may take, and so the listening may outlast the last who wanted it."""


class ProgressEvent(WireStruct, kw_only=True, frozen=True):
    """How far a message has come, 0 to 100."""

    message_id: str
    user_id: str
    progress: int


_progress_decoder = msgspec.json.Decoder(ProgressEvent)


class ProgressFeed:
    """Hands progress to those sockets of the message's user that asked for it.

    Pub/Sub loses what is said while nobody listens, which is good enough for a progress bar.

    Args:
        settings: where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listeners: dict[str, set[WebSocketConnection]] = {}
        self._wanted = asyncio.Event()

    def add(self, connection: WebSocketConnection) -> None:
        """A socket asks for progress."""
        self._listeners.setdefault(connection.user_id, set()).add(connection)
        self._wanted.set()

    def discard(self, connection: WebSocketConnection) -> None:
        """A socket is gone; with the last one the listening ends."""
        of_user = self._listeners.get(connection.user_id, set())
        of_user.discard(connection)
        if not of_user:
            self._listeners.pop(connection.user_id, None)
        if not self._listeners:
            self._wanted.clear()

    async def run(self) -> None:
        """Listen whenever a socket wants to know, for ever."""
        while True:
            await self._wanted.wait()
            try:
                await self._listen()
            except RedisUnavailable:
                await asyncio.sleep(REDIS_RETRY_INTERVAL_S)

    async def _listen(self) -> None:
        client = blocking_client(self._settings, max_block_s=PROGRESS_POLL_TIMEOUT_S)
        listener = client.pubsub(ignore_subscribe_messages=True)
        try:
            await listener.subscribe(PROGRESS_CHANNEL)
            while self._wanted.is_set():
                self._dispatch(await listener.get_message(timeout=PROGRESS_POLL_TIMEOUT_S))
        finally:
            await listener.aclose()
            await client.aclose()

    def _dispatch(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        try:
            event = _progress_decoder.decode(message["data"])
        except msgspec.DecodeError:
            log.warning("a word on the progress channel cannot be read")
            return
        for connection in tuple(self._listeners.get(event.user_id, ())):
            connection.progress(event.message_id, event.progress)
