"""A subscriber inside the test's own process, whose clockwork runs faster than the daemon's."""

import asyncio
from types import TracebackType
from typing import Any, Self

from msgctl.config.settings import Settings
from msgctl.delivery.router import Router, create_senders
from msgctl.delivery.stream import ResponseStream
from msgctl.http.client import HttpClient
from msgctl.redisdb.connection import connect
from msgctl.tasks import cancel


class Desk:
    """Reads, delivers and tends until it is left or killed.

    Args:
        settings: as the daemon's.
        name: the subscriber's.
    """

    def __init__(self, settings: Settings, name: str = "desk") -> None:
        self._settings = settings
        self._redis = connect(settings)
        self._poster = HttpClient(settings)
        self.stream = ResponseStream(self._redis, settings, name)
        self.router = Router(
            self._redis, settings, self.stream, create_senders(settings, self._poster, self._poster)
        )
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.stream.ensure_group()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._tend())]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.kill()
        await self.stream.leave()
        await self._redis.aclose()

    async def kill(self) -> None:
        """Stop in the middle of whatever it does, as a killed process would."""
        await cancel(*self._tasks)
        await self.router.drain(0)
        await self.stream.close()
        await self._poster.__aexit__()

    async def _read(self) -> None:
        while True:
            await self.router.take(await self.stream.read())

    async def _tend(self) -> None:
        while True:
            await self.stream.tend()
            await self.router.tend()
            await self.router.take(await self.stream.take_over())
            await asyncio.sleep(0.02)
