"""The sockets this gateway holds: made known to all, fed with what is delivered to them, told when it goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import msgspec

from daemons.gateway.connection import GOING_AWAY, Connection
from daemons.gateway.progress import ProgressFeed
from daemons.gateway.texts import choose
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.delivery.inbox import MOVED, Frame
from msgctl.delivery.sockets import Sockets
from msgctl.errors import RedisUnavailable
from msgctl.messages import Failure, Response
from msgctl.metrics import definitions as metrics
from msgctl.tasks import background

log = logs.get(__name__)

PAUSE = 0.5
"""Seconds before Redis is asked again after it failed."""
LIFE = 1.0
"""Seconds between two signs of this gateway's life."""
FAREWELL = 10.0
"""Seconds sockets get to be told that the gateway goes."""
FAULTS = (RedisUnavailable, TimeoutError)
"""What a Redis that is gone, or hangs, looks like from here."""

_response = msgspec.json.Decoder(Response)
_failure = msgspec.json.Decoder(Failure)


class Hub:
    """All sockets of this process.

    Args:
        sockets: where they are known to all gateways.
        progress: tells how far messages have come.
        settings: `gateway.socket_ttl`, `gateway.locale`; `redis.timeout` bounds each question.
    """

    def __init__(self, sockets: Sockets, progress: ProgressFeed, settings: Settings) -> None:
        self._sockets = sockets
        self._progress = progress
        self._beat_every = settings.gateway.socket_ttl / 3
        self._timeout = settings.redis.timeout
        self._missed = choose(settings).missed
        self._connections: dict[str, Connection] = {}
        self._reachable = True
        self._trouble = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connected(self) -> int:
        """How many sockets there are."""
        return len(self._connections)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Listen and beat until left."""
        return background(self._listen(), self._beat(), self._show_life(), self._progress.run())

    @asynccontextmanager
    async def holding(self, connection: Connection) -> AsyncIterator[None]:
        """Hold a socket while it is open; one that Redis cannot be told of now is made known later."""
        self._connections[connection.socket_id] = connection
        metrics.SOCKETS.inc()
        self._empty.clear()
        try:
            await self._make_known(connection)
            if connection.wants_progress:  # not before: the first frame is the greeting
                self._progress.add(connection)
            yield
        finally:
            del self._connections[connection.socket_id]
            metrics.SOCKETS.dec()
            if not self._connections:
                self._empty.set()
            self._progress.discard(connection)
            await self._forget(connection)

    async def dismiss_all(self, reason: str) -> None:
        """Tell every client that the gateway goes, and wait until they have heard."""
        self._close_all(reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._empty.wait()

    def _close_all(self, reason: str) -> None:
        for connection in list(self._connections.values()):
            connection.close(GOING_AWAY, reason)

    async def _listen(self) -> None:
        while True:
            try:
                async for frames in self._sockets.frames():
                    for frame in frames:
                        self._dispatch(frame)
            except FAULTS as error:
                self._lost(error)
            except Exception:
                log.exception("the inbox of this gateway could not be read")
            await asyncio.sleep(PAUSE)

    def _dispatch(self, frame: Frame) -> None:
        connection = self._connections.get(frame.socket_id)
        if connection is None:
            return  # it left meanwhile; the replies that it missed are kept for its return
        if frame.kind == MOVED:
            connection.close(GOING_AWAY, self._missed)
            return
        try:
            event = _failure.decode(frame.body) if frame.kind == "failure" else _response.decode(frame.body)
        except msgspec.DecodeError:
            log.warning("a frame of the inbox cannot be read", socketId=frame.socket_id, kind=frame.kind)
            return
        connection.deliver(event)

    async def _beat(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._sockets.beat(list(self._connections))
                self._found()
            except FAULTS as error:
                self._lost(error)
            except Exception:
                log.exception("the sockets of this gateway could not be renewed")
            else:
                await self._rest()
            await asyncio.sleep(PAUSE)

    async def _show_life(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._sockets.stay_alive()
                    self._make_up_for(await self._sockets.lost_frames())
            except FAULTS:
                pass  # the beat tells of an outage
            except Exception:
                log.exception("the life of this gateway could not be shown")
            await asyncio.sleep(LIFE)

    def _make_up_for(self, lost: int) -> None:
        """Nobody knows whose the frames were: every client is asked to come back, and to `resume`."""
        if lost:
            log.warning("frames for this gateway's sockets went unread: all are to come back", frames=lost)
            self._close_all(self._missed)

    async def _rest(self) -> None:
        """Until the next beat is due, or until a socket could not be made known."""
        self._trouble.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._beat_every):
                await self._trouble.wait()

    async def _make_known(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._sockets.register(connection.socket_id, connection.user_id)
        except FAULTS as error:
            self._lost(error)  # the next beat that gets through makes it known

    async def _forget(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._sockets.unregister(connection.socket_id, connection.conversations)
        except FAULTS as error:
            self._lost(error)  # its keys run out by themselves

    def _lost(self, error: Exception) -> None:
        if self._reachable:
            log.warning("Redis client error: sockets stay up, nothing is accepted", error=str(error))
        self._reachable = False
        self._trouble.set()

    def _found(self) -> None:
        if not self._reachable:
            log.info("Redis answers again")
        self._reachable = True
