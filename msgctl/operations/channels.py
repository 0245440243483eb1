"""The channels: the backlog and the last error of each, and the means to pause, resume, and test them."""

import asyncio
import time
import uuid
from typing import Any

from msgctl.channels.names import channel_names
from msgctl.channels.registry import find_channel
from msgctl.channels.send_limits import Bucket
from msgctl.delivery.delivery_record import find_record
from msgctl.delivery.error_help import advise
from msgctl.delivery.response_stream import publish_operator_message
from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import Channel, WireStruct
from msgctl.operations.context import Operation
from msgctl.operations.dashboard.overview import BACKLOG_SAMPLE_SIZE, SAMPLE_BACKLOG
from msgctl.storage.redis import keys

DELIVERY_POLL_INTERVAL_S = 0.1
"""Seconds between two reads of a delivery record."""
HELD_ADVICE = (
    "The channel is paused or broken and holds it. See: msgctl channel list. Resume: msgctl channel resume"
)
NOT_TAKEN_ADVICE = "No subscriber has taken it. Is one alive? See: msgctl health"
TEST_TEXT = "msgctl: this is a test of the channel."


class ChannelState(WireStruct, kw_only=True, frozen=True):
    """One channel. Times are Unix milliseconds, or None."""

    channel: str
    configured: bool
    """Whether the settings have its credentials. Web needs none."""
    state: str
    """`open`, `paused` (by an operator, or because of its credentials), or `broken` (not used for a while)."""
    backlog: int
    """Undelivered responses of the sample, and all that the channel holds."""
    held: int
    """Responses that the channel holds because it is paused or broken."""
    reason: str
    """The reason of a pause: `operator`, or the code of the error."""
    next_send: int | None
    """When its rate or its breaker admits the next send. None: now, or only after `channel resume`."""
    last_error: str
    advice: str
    failed_at: int | None
    urls_gone: list[str]
    """Hosts of callbacks that answered 410 and are no longer called."""


class Channels(Operation):
    """Reads, pauses, resumes, and tests channels."""

    async def list(self) -> "tuple[ChannelState, ...]":
        """Return the state of every channel.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        _, flat, _, _ = await SAMPLE_BACKLOG(self._redis, BACKLOG_SAMPLE_SIZE)
        backlog = dict(zip(flat[::2], flat[1::2], strict=True))
        return tuple([await self._state(channel, backlog.get(channel, 0)) for channel in channel_names()])

    async def pause(self, channel: Channel) -> bool:
        """Pause a channel, which then holds its responses. Return False if it was paused before.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        key = keys.CHANNEL_STATE + _with_provider(channel)
        new = await self._redis.hsetnx(key, "pausedAt", int(time.time() * 1000))
        if new:
            await self._redis.hset(key, "reason", "operator")
        return bool(new)

    async def resume(self, channel: Channel) -> bool:
        """Resume a channel, whether it was paused or broken. Return False if it was neither.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        key = keys.CHANNEL_STATE + _with_provider(channel)
        fields = ("pausedAt", "reason", "streak", "openings", "openUntil")
        gone = await self._redis.hdel(key, *fields)
        if gone:  # a status about an earlier send does not stop it again
            await self._redis.hset(key, "resumedAt", int(time.time() * 1000))
        return bool(gone)

    async def send_test(
        self, channel: Channel, to: str, *, text: str = TEST_TEXT, provider: str = "", sender: str = ""
    ) -> str:
        """Publish a text as if an agent had replied, and return the id of its delivery.

        Args:
            channel: the channel to test.
            to: the number of a chat, a phone number, or a URL.
            text: the text to send.
            provider: for WhatsApp `cloud` or `twilio`. Empty: as configured.
            sender: the bot or the number that sends it. Empty: the first one.

        Raises:
            InvalidInput: the channel has no provider.
            RedisUnavailable: Redis does not answer.
        """
        spec = find_channel(_with_provider(channel))
        identifier = f"test-{uuid.uuid4()}"
        metadata = {spec.address_field: spec.parse_address(to)} | ({"provider": provider} if provider else {})
        if sender:
            metadata[spec.sender_field] = sender
        await publish_operator_message(
            self._redis,
            text,
            message_id=identifier,
            conversation_id=identifier,
            channel=channel,
            metadata=metadata,
            author="test",
        )
        return identifier

    async def wait_for_outcome(self, message_id: str, timeout_s: float) -> dict[str, Any]:
        """Wait until a delivery ends, and return its outcome, or its state after `timeout_s` seconds.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            record = await find_record(self._redis, message_id)
            if (record and record.ended_at) or time.monotonic() > deadline:
                break
            await asyncio.sleep(DELIVERY_POLL_INTERVAL_S)
        state = record.state if record else "new"
        code = (record.code if record else None) or ("" if record else "no_subscriber")
        advice = advise(code) or (NOT_TAKEN_ADVICE if not record else "")
        if record and not record.ended_at and await self._is_held(record.channel, message_id):
            code, advice = "held", f"{HELD_ADVICE} {record.channel}"
        return {
            "messageId": message_id,
            "state": state,
            "providerId": record.provider_id if record else None,
            "code": code,
            "text": (record.text if record else None) or "",
            "advice": advice,
        }

    async def _is_held(self, channel: str, message_id: str) -> bool:
        return await self._redis.zscore(keys.HELD + channel, message_id) is not None

    async def _state(self, channel: Channel, backlog: int) -> ChannelState:
        fields: dict[str, str] = await self._redis.hgetall(keys.CHANNEL_STATE + channel)
        held = await self._redis.zcard(keys.HELD + channel)
        now = int(time.time() * 1000)
        spec = find_channel(channel)
        open_until = int(float(fields.get("openUntil", 0)))
        paused, broken = "pausedAt" in fields, open_until > now
        rates = [await self._next_slot_ms(bucket) for bucket in spec.rate_buckets(self._settings)]
        next_send = max(open_until, min(rates, default=0))
        gone: Any = await self._redis.zrangebyscore(keys.CALLBACKS_GONE, now, "+inf")
        return ChannelState(
            channel=channel,
            configured=spec.is_configured(self._settings),
            state="paused" if paused else "broken" if broken else "open",
            backlog=backlog + held,
            held=held,
            reason=fields.get("reason", ""),
            next_send=next_send if next_send > now and not paused else None,
            last_error=fields.get("code", ""),
            advice=advise(fields.get("code", "")),
            failed_at=int(fields["failedAt"]) if "failedAt" in fields else None,
            urls_gone=[member.partition(" ")[2] for member in gone] if spec.has_gone_urls else [],
        )

    async def _next_slot_ms(self, bucket: Bucket) -> int:
        full = await self._redis.get(keys.BUCKET + bucket.name)
        return int(float(full or 0) - bucket.interval * (bucket.burst - 1))


def _with_provider(channel: Channel) -> Channel:
    if find_channel(channel).create_sender is None:
        raise InvalidInput(f"Channel {channel} delivers to open sockets. It has no provider to pause or test.")
    return channel
