"""The parts of one delivery: made once, recorded before the first is sent, and the same for every attempt."""

import asyncio
from collections.abc import Sequence

import msgspec

from msgctl.channels.base import ChannelSender
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryRecords, SendPermit
from msgctl.delivery.earlier_parts import earlier_parts
from msgctl.domain.messages import Response
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.retry import RedisRetry

THREAD_FROM_CHARS = 8000
"""Characters of a text from which it is cut in a thread, so that it does not delay other deliveries."""

log = logs.get_logger(__name__)

_recorded_decoder = msgspec.json.Decoder(list[TextPart])


class DeliveryParts:
    """The parts of one response.

    Args:
        response: the response.
        settings: `whatsapp.provider`.
        sender: makes the parts.
        records: keeps the parts of a text of several.
    """

    def __init__(
        self, response: Response, settings: Settings, sender: ChannelSender, records: DeliveryRecords
    ) -> None:
        self._response = response
        self._settings = settings
        self._sender = sender
        self._records = records
        self._parts: Sequence[TextPart] | None = None

    async def load(self, permit: SendPermit) -> Sequence[TextPart]:
        """Return the parts: the recorded ones, or those that the sender makes now if nothing was sent yet.

        Raises:
            DeliveryFailed: the text cannot be sent.
        """
        if self._parts is None:
            self._parts = await self._load(permit)
        return self._parts

    async def record(self, permit: SendPermit, parts: Sequence[TextPart]) -> bool:
        """Record several parts before the first is sent; return whether this attempt may still send."""
        if permit.texts != "" or permit.done or len(parts) < 2:
            return True
        return await RedisRetry("record the parts of a delivery").run_until_success(
            lambda: self._records.record_parts(self._response.message_id, permit, parts)
        )

    async def _load(self, permit: SendPermit) -> Sequence[TextPart]:
        if permit.texts:
            return _recorded_decoder.decode(permit.texts)
        if permit.texts is not None and permit.part and not permit.repeats:  # there was only one, and it was sent
            return [TextPart(self._response.response.message)] * permit.part
        if len(self._response.response.message) < THREAD_FROM_CHARS:
            parts = self._make(permit)
        else:
            parts = await asyncio.to_thread(self._make, permit)
        if parts and parts[-1].is_cut:
            channel = self._response.channel
            metrics.REPLIES_CUT.labels(channel).inc()
            log.warning("Reply cut off", messageId=self._response.message_id, channel=channel, parts=len(parts))
        return parts

    def _make(self, permit: SendPermit) -> Sequence[TextPart]:
        is_earlier = (
            permit.texts is None and not permit.repeats
        )  # SENT forgets the parts, which are then made again
        earlier = earlier_parts(self._response, self._settings) if is_earlier else None
        return self._sender.parts(self._response) if earlier is None else earlier
