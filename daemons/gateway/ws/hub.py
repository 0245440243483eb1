"""The open sockets of this gateway: registered in Redis, fed from the gateway inbox, and closed at shutdown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import msgspec

from daemons.gateway.translations import select_texts
from daemons.gateway.ws.close_codes import CLOSE_GOING_AWAY
from daemons.gateway.ws.connection import WebSocketConnection
from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import MOVED_KIND, InboxFrame, SocketRegistry
from msgctl.domain.messages import Failure, Response, WireStruct
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.keys import PROGRESS_CHANNEL

log = logs.get_logger(__name__)

REDIS_RETRY_INTERVAL_S = 0.5
"""Seconds before the next attempt after Redis failed."""
HEARTBEAT_INTERVAL_S = 1.0
"""Seconds between two heartbeats of this gateway."""
CLOSE_ALL_TIMEOUT_S = 10.0
"""Seconds that sockets get to close at shutdown."""
PROGRESS_POLL_TIMEOUT_S = 1.0
"""Seconds one poll of the channel may take, and so the time the subscription may outlive its last listener."""
REDIS_OR_TIME_FAULTS = (*REDIS_FAULTS, TimeoutError)
"""The errors of a Redis that is down or hangs."""

_response_decoder = msgspec.json.Decoder(Response)
_failure_decoder = msgspec.json.Decoder(Failure)


class ProgressEvent(WireStruct, kw_only=True, frozen=True):
    """The progress of a message, 0 to 100."""

    message_id: str
    user_id: str
    progress: int


_progress_decoder = msgspec.json.Decoder(ProgressEvent)


class ProgressFeed:
    """Sends progress to the sockets that requested it. It subscribes in Redis only while there are any.

    Pub/Sub loses events while nobody is subscribed, which is good enough for a progress bar.

    Args:
        settings: the address of Redis.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listeners: dict[str, set[WebSocketConnection]] = {}
        self._wanted = asyncio.Event()

    def add(self, connection: WebSocketConnection) -> None:
        """Send progress to a socket from now on."""
        self._listeners.setdefault(connection.user_id, set()).add(connection)
        self._wanted.set()

    def discard(self, connection: WebSocketConnection) -> None:
        """Forget a socket. With the last one the subscription ends."""
        connections = self._listeners.get(connection.user_id, set())
        connections.discard(connection)
        if not connections:
            self._listeners.pop(connection.user_id, None)
        if not self._listeners:
            self._wanted.clear()

    async def run(self) -> None:
        """Subscribe while any socket requests progress, until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._listen()
            except REDIS_FAULTS:
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
            log.warning("Progress event could not be decoded")
            return
        for connection in tuple(self._listeners.get(event.user_id, ())):
            connection.progress(event.message_id, event.progress)


class Hub:
    """All sockets of this process.

    Args:
        sockets: the registry of the sockets of all gateways.
        progress: sends the progress of messages.
        settings: `gateway.socket_ttl`, `gateway.locale`, and `redis.timeout`, which limits each call.
    """

    def __init__(self, sockets: SocketRegistry, progress: ProgressFeed, settings: Settings) -> None:
        self._sockets = sockets
        self._progress = progress
        self._renewal_interval_s = settings.gateway.socket_ttl / 3
        self._timeout_s = settings.redis.timeout
        self._missed_text = select_texts(settings).missed
        self._connections: dict[str, WebSocketConnection] = {}
        self._reachable = True
        self._renewal_needed = asyncio.Event()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def connection_count(self) -> int:
        """The number of open sockets."""
        return len(self._connections)

    def run_background(self) -> AbstractAsyncContextManager[None]:
        """Read the inbox and send heartbeats while the context lasts."""
        return background(self._read_inbox(), self._renew_sockets(), self._send_heartbeats(), self._progress.run())

    @asynccontextmanager
    async def hold(self, connection: WebSocketConnection) -> AsyncIterator[None]:
        """Keep a socket while it is open. If Redis is down, the socket is registered later."""
        self._connections[connection.socket_id] = connection
        metrics.OPEN_SOCKETS.inc()
        self._all_closed.clear()
        try:
            await self._register(connection)
            if connection.wants_progress:  # not earlier, because the first frame must be `connected`
                self._progress.add(connection)
            yield
        finally:
            del self._connections[connection.socket_id]
            metrics.OPEN_SOCKETS.dec()
            if not self._connections:
                self._all_closed.set()
            self._progress.discard(connection)
            await self._unregister(connection)

    async def close_all_and_wait(self, reason: str) -> None:
        """Close all sockets because the gateway stops, and wait until they are closed."""
        self._close_all(reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_ALL_TIMEOUT_S):
                await self._all_closed.wait()

    def _close_all(self, reason: str) -> None:
        for connection in list(self._connections.values()):
            connection.close(CLOSE_GOING_AWAY, reason)

    async def _read_inbox(self) -> None:
        while True:
            try:
                async for frames in self._sockets.read_frames():
                    for frame in frames:
                        self._dispatch(frame)
            except REDIS_OR_TIME_FAULTS as error:
                self._mark_unreachable(error)
            except Exception:
                log.exception("Gateway inbox could not be read")
            await asyncio.sleep(REDIS_RETRY_INTERVAL_S)

    def _dispatch(self, frame: InboxFrame) -> None:
        connection = self._connections.get(frame.socket_id)
        if connection is None:
            return  # it has disconnected; its replies are retained for a resume
        if frame.kind == MOVED_KIND:
            connection.close(CLOSE_GOING_AWAY, self._missed_text)
            return
        try:
            event = (
                _failure_decoder.decode(frame.body)
                if frame.kind == "failure"
                else _response_decoder.decode(frame.body)
            )
        except msgspec.DecodeError:
            log.warning(
                "Frame of the gateway inbox could not be decoded", socketId=frame.socket_id, kind=frame.kind
            )
            return
        connection.deliver(event)

    async def _renew_sockets(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._sockets.renew(list(self._connections))
                self._mark_reachable()
            except REDIS_OR_TIME_FAULTS as error:
                self._mark_unreachable(error)
            except Exception:
                log.exception("Sockets of the gateway could not be renewed")
            else:
                await self._wait_for_renewal()
            await asyncio.sleep(REDIS_RETRY_INTERVAL_S)

    async def _send_heartbeats(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._sockets.heartbeat()
                    self._close_after_lost_frames(await self._sockets.count_lost_frames())
            except REDIS_OR_TIME_FAULTS:
                pass  # `_renew_sockets` logs the outage
            except Exception:
                log.exception("Heartbeat of the gateway failed")
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    def _close_after_lost_frames(self, lost: int) -> None:
        """Ask all clients to reconnect and `resume`, because the sockets of the lost frames are unknown."""
        if lost:
            log.warning("Frames of the gateway inbox were lost: all clients must reconnect", frames=lost)
            self._close_all(self._missed_text)

    async def _wait_for_renewal(self) -> None:
        """Wait until the next renewal is due, or until a socket could not be registered."""
        self._renewal_needed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._renewal_interval_s):
                await self._renewal_needed.wait()

    async def _register(self, connection: WebSocketConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._sockets.register(connection.socket_id, connection.user_id)
        except REDIS_OR_TIME_FAULTS as error:
            self._mark_unreachable(error)  # the next renewal that succeeds registers it

    async def _unregister(self, connection: WebSocketConnection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._sockets.unregister(connection.socket_id, connection.conversations)
        except REDIS_OR_TIME_FAULTS as error:
            self._mark_unreachable(error)  # its keys expire

    def _mark_unreachable(self, error: Exception) -> None:
        if self._reachable:
            log.warning("Redis client error: sockets stay open, no messages are accepted", error=str(error))
        self._reachable = False
        self._renewal_needed.set()

    def _mark_reachable(self) -> None:
        if not self._reachable:
            log.info("Redis answers again")
        self._reachable = True
