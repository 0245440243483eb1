"""Where each response goes by its channel; a channel that stands still holds up no other."""

import asyncio
from collections.abc import Mapping, Sequence

from msgctl import logs
from msgctl.channels.base import ChannelSender
from msgctl.channels.registry import all_channels
from msgctl.config.settings import Settings
from msgctl.delivery.channel import Channels
from msgctl.delivery.delivering import Delivering
from msgctl.delivery.entry import Entry, stamped
from msgctl.delivery.lanes import Lanes
from msgctl.delivery.record import Records
from msgctl.delivery.stream import ResponseStream
from msgctl.delivery.web import Web
from msgctl.http.client import HttpClient
from msgctl.messages import Channel, Failure, Response
from msgctl.redisdb.client import RedisClient

OVERFLOW_PAUSE = 1000
"""Milliseconds after which a delivery comes back that found no room in its channel."""

log = logs.get(__name__)


def create_senders(
    settings: Settings, client: HttpClient, guarded_client: HttpClient
) -> dict[Channel, ChannelSender]:
    """Create the sender of each channel but web.

    Args:
        settings: each provider's.
        client: calls providers and the operator's own hosts.
        guarded_client: calls public addresses alone.

    Raises:
        ConfigurationError: an extension cannot be loaded.
    """
    return {
        Channel(spec.name): spec.create_sender(settings, client, guarded_client)
        for spec in all_channels()
        if spec.create_sender
    }


class Router:
    """Gives entries of the stream to their channels.

    Each channel has `delivery.concurrency` slots of its own. What finds no room waits in Redis, so that reading
    never stops.

    Args:
        redis: a client for short commands.
        settings: `delivery.*`.
        stream: where the entries come from.
        by_channel: a sender for each channel but web.
    """

    def __init__(
        self,
        redis: RedisClient,
        settings: Settings,
        stream: ResponseStream,
        by_channel: Mapping[Channel, ChannelSender],
    ) -> None:
        self._stream = stream
        self._web = Web(redis, settings)
        self._records = Records(redis, settings)
        self._deliverings = {
            channel: Delivering(settings, self._records, Channels(redis, settings), sender)
            for channel, sender in by_channel.items()
        }
        self._lanes = {channel: Lanes(settings.delivery.concurrency, self._work) for channel in by_channel}

    async def take(self, entries: Sequence[Entry]) -> None:
        """Hand on a batch: web at once, the others into their lanes.

        Raises:
            RedisUnavailable: Redis does not answer; what is not in a lane is still pending.
        """
        web = [entry for entry in entries if entry.channel is Channel.WEB]
        others = [entry for entry in entries if entry.channel is not Channel.WEB]
        if web:
            await self._web.route(web)
        # Only a socket is told of a dead letter; the other channels have no words for it.
        await self._stream.acknowledge(entry.id for entry in others if isinstance(entry.event, Failure))
        for entry in others:
            if isinstance(entry.event, Response):
                await self._put(entry, entry.event)

    async def tend(self) -> None:
        """What is to be done each second besides reading.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await self._web.inherit()

    async def drain(self, patience: float) -> None:
        """Begin nothing new; let what is being sent end within `patience` seconds."""
        await asyncio.gather(*(lanes.drain(patience) for lanes in self._lanes.values()))

    async def _put(self, entry: Entry, response: Response) -> None:
        self._stream.held.add(entry.id)
        if self._lanes[entry.channel].offer(entry):
            return
        self._stream.held.discard(entry.id)
        body = stamped(entry, response).to_json()
        await self._records.postpone(entry, body, due=-OVERFLOW_PAUSE)

    async def _work(self, entry: Entry) -> None:
        try:
            if isinstance(entry.event, Response):
                await self._deliverings[entry.channel].deliver(entry, entry.event)
        finally:
            self._stream.held.discard(entry.id)
