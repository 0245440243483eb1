"""Where each response goes by its channel; a channel that stands still holds up no other."""

import asyncio
from collections.abc import Mapping, Sequence

from msgctl.channels.base import ChannelSender
from msgctl.channels.registry import all_channels
from msgctl.config.settings import Settings
from msgctl.delivery.attempt import DeliveryRunner
from msgctl.delivery.channel_state import ChannelStateStore
from msgctl.delivery.delivery_record import DeliveryRecords
from msgctl.delivery.ordered_executor import OrderedExecutor
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.stream_entry import StreamEntry, with_stream_id
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.messages import Channel, Failure, Response
from msgctl.http.client import HttpClient
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient

OVERFLOW_PAUSE_MS = 1000
"""Milliseconds after which a delivery comes back that found no room in its channel."""

log = logs.get_logger(__name__)


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


class ResponseRouter:
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
        self._web_router = WebRouter(redis, settings)
        self._records = DeliveryRecords(redis, settings)
        self._runners = {
            channel: DeliveryRunner(settings, self._records, ChannelStateStore(redis, settings), sender)
            for channel, sender in by_channel.items()
        }
        self._executors = {
            channel: OrderedExecutor(settings.delivery.concurrency, self._deliver) for channel in by_channel
        }

    async def dispatch(self, entries: Sequence[StreamEntry]) -> None:
        """Hand on a batch: web at once, the others into their lanes.

        Raises:
            RedisUnavailable: Redis does not answer; what is not in a lane is still pending.
        """
        web = [entry for entry in entries if entry.channel is Channel.WEB]
        others = [entry for entry in entries if entry.channel is not Channel.WEB]
        if web:
            await self._web_router.route(web)
        # Only a socket is told of a dead letter; the other channels have no words for it.
        await self._stream.acknowledge(entry.id for entry in others if isinstance(entry.event, Failure))
        for entry in others:
            if isinstance(entry.event, Response):
                await self._submit(entry, entry.event)

    async def maintain(self) -> None:
        """What is to be done each second besides reading.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await self._web_router.reroute_frames()

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new; let what is being sent end within `patience` seconds."""
        await asyncio.gather(*(lanes.drain(timeout_s) for lanes in self._executors.values()))

    async def _submit(self, entry: StreamEntry, response: Response) -> None:
        self._stream.in_flight.add(entry.id)
        if self._executors[entry.channel].submit(entry):
            return
        self._stream.in_flight.discard(entry.id)
        body = with_stream_id(entry, response).to_json()
        await self._records.reschedule(entry, body, due_ms=-OVERFLOW_PAUSE_MS)

    async def _deliver(self, entry: StreamEntry) -> None:
        try:
            if isinstance(entry.event, Response):
                await self._runners[entry.channel].deliver(entry, entry.event)
        finally:
            self._stream.in_flight.discard(entry.id)
