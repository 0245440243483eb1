"""A subscriber inside the test's own process, whose clockwork runs faster than the daemon's."""

import asyncio
from types import TracebackType
from typing import Any, Self

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryRecord, find_record
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.router import ResponseRouter, create_senders
from msgctl.domain.messages import Channel, Response
from msgctl.http.client import HttpClient
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.replies import Replies
from tools.support.daemons import until


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
        self.router = ResponseRouter(
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
        await self.stream.deregister()
        await self._redis.aclose()

    async def kill(self) -> None:
        """Stop in the middle of whatever it does, as a killed process would."""
        await cancel(*self._tasks)
        await self.router.drain(0)
        await self.stream.close()
        await self._poster.__aexit__()

    async def _read(self) -> None:
        while True:
            await self.router.dispatch(await self.stream.read())

    async def _tend(self) -> None:
        while True:
            await self.stream.maintain()
            await self.router.maintain()
            await self.router.dispatch(await self.stream.take_over())
            await asyncio.sleep(0.02)


async def ended(redis: RedisClient, reply: Response) -> DeliveryRecord:
    """The record of a reply's delivery, once it is over."""
    found: list[DeliveryRecord] = []

    async def over() -> bool:
        record = await find_record(redis, reply.message_id)
        found[:] = [record] if record and record.ended_at else []
        return bool(found)

    await until(over, f"the delivery of {reply.message_id} to end")
    return found[0]


async def inbox(redis: Any, gateway: str = "g1") -> list[tuple[str, str, int]]:
    """What a gateway is to write: socket, kind and number of each frame, in order."""
    entries = await redis.xrange(keys.INBOX + gateway)
    return [(fields["socket"], fields["kind"], int(fields["seq"])) for _, fields in entries]


async def caught_up(stream: ResponseStream, replies: Replies) -> None:
    """Return once the group has read everything and acknowledged it."""

    async def done() -> bool:
        [group] = await replies.redis.xinfo_groups(keys.RESPONSES)
        last = await replies.redis.xrevrange(keys.RESPONSES, count=1)
        return group["pending"] == 0 and (not last or group["last-delivered-id"] == last[0][0])

    await until(done, "everything to be delivered")


CHAT = {"chatId": 42}

TO = {"to": "+5511999990000"}


async def held(redis: RedisClient, channel: Channel, count: int) -> None:
    """Return once so many wait for a channel."""

    async def all_there() -> bool:
        return int(await redis.zcard(keys.HELD + channel)) == count

    await until(all_there, f"{count} to be held")
