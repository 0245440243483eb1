"""Dispatch of responses to their channels; a channel that is stuck does not delay the others."""

import asyncio
from collections.abc import Mapping, Sequence

from msgctl.channels.base import ChannelSender
from msgctl.channels.registry import all_channels, find_channel
from msgctl.config.settings import Settings
from msgctl.delivery.attempt import DeliveryRunner
from msgctl.delivery.channel_state import ChannelStateStore
from msgctl.delivery.delivery_record import DeliveryRecords
from msgctl.delivery.ordered_executor import OrderedExecutor
from msgctl.delivery.response_stream import ResponseStream, StreamEntry, with_stream_id
from msgctl.delivery.web.routing import WebRouter
from msgctl.domain.messages import Channel, Failure, Response
from msgctl.http.client import HttpClient
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient

OVERFLOW_PAUSE_MS = 1000
"""Milliseconds for which a delivery is postponed whose channel has no free capacity."""

log = logs.get_logger(__name__)


def create_senders(
    settings: Settings, client: HttpClient, guarded_client: HttpClient
) -> dict[Channel, ChannelSender]:
    """Create the sender of each channel except web.

    Args:
        settings: the sections of the channels.
        client: calls providers and the operator's own hosts.
        guarded_client: calls public addresses only.

    Raises:
        ConfigurationError: an extension cannot be loaded.
    """
    return {
        Channel(spec.name): spec.create_sender(settings, client, guarded_client)
        for spec in all_channels()
        if spec.create_sender
    }


class ResponseRouter:
    """Dispatches entries of the stream to their channels.

    Each channel has `delivery.concurrency` slots of its own. An entry that finds no free capacity waits in Redis,
    so that reading never stops.

    Args:
        redis: a client for short commands.
        settings: `delivery.*`.
        stream: the stream that the entries come from.
        sender_by_channel: the sender of each channel except web.
    """

    def __init__(
        self,
        redis: RedisClient,
        settings: Settings,
        stream: ResponseStream,
        sender_by_channel: Mapping[Channel, ChannelSender],
    ) -> None:
        self._stream = stream
        self._web_router = WebRouter(redis, settings)
        self._records = DeliveryRecords(redis, settings)
        channel_states = ChannelStateStore(redis, settings)
        self._runners = {
            channel: DeliveryRunner(settings, self._records, channel_states, sender, find_channel(channel))
            for channel, sender in sender_by_channel.items()
        }
        self._executors = {
            channel: OrderedExecutor(settings.delivery.concurrency, self._deliver) for channel in sender_by_channel
        }

    async def dispatch(self, entries: Sequence[StreamEntry]) -> None:
        """Route the web responses of a batch, and submit the others to the executors of their channels.

        Raises:
            RedisUnavailable: Redis did not answer; entries that were not submitted are still pending.
        """
        web = [entry for entry in entries if entry.channel is Channel.WEB]
        others = [entry for entry in entries if entry.channel is not Channel.WEB]
        if web:
            await self._web_router.route(web)
        # Only sockets are notified of a dead letter: the other channels have no format for it.
        await self._stream.acknowledge(entry.id for entry in others if isinstance(entry.event, Failure))
        for entry in others:
            if isinstance(entry.event, Response):
                await self._submit(entry, entry.event)

    async def maintain(self) -> None:
        """Reroute the frames of dead gateways; call it each second.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        await self._web_router.reroute_frames()

    async def drain(self, timeout_s: float) -> None:
        """Start nothing new, and let running sends finish within `timeout_s`."""
        await asyncio.gather(*(executor.drain(timeout_s) for executor in self._executors.values()))

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
