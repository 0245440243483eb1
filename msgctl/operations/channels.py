"""The channels of delivery: what waits on each, what went wrong last, and who may stop and start them."""

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
from msgctl.operations.context import Context
from msgctl.operations.dashboard.overview import BACKLOG_SAMPLE_SIZE, SAMPLE_BACKLOG
from msgctl.storage.redis import keys

DELIVERY_POLL_INTERVAL_S = 0.1
"""Seconds between two looks at a delivery."""
HELD_ADVICE = (
    "The channel is paused or broken and holds it. See: msgctl channel list. Go on: msgctl channel resume"
)
NOT_TAKEN_ADVICE = "Nobody has taken it: is a subscriber alive? msgctl health"
TEST_TEXT = "msgctl: this is a test of the channel."


class ChannelState(WireStruct, kw_only=True, frozen=True):
    """One channel. Times are Unix milliseconds; None where there is nothing to tell."""

    channel: str
    configured: bool
    """Whether there are credentials to send with; web needs none."""
    state: str
    """`open`, `paused` (by a person, or stopped for its credentials), `broken` (left alone for a while)."""
    backlog: int
    """Responses still to be delivered, of those looked at, and all that are held."""
    held: int
    """Of these, what waits for the channel itself."""
    reason: str
    """Of a pause: `operator`, or the code that stopped it."""
    next_send: int | None
    """When its rate or its breaker lets the next one go; None: at once, or only after `channel resume`."""
    last_error: str
    advice: str
    failed_at: int | None
    urls_gone: list[str]
    """Hosts of callbacks that answered 410 and are not called."""


class Channels:
    """Looks at the channels, and stops and starts them.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis

    async def list(self) -> "tuple[ChannelState, ...]":
        """All of them.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        _, flat, _, _ = await SAMPLE_BACKLOG(self._redis, BACKLOG_SAMPLE_SIZE)
        backlog = dict(zip(flat[::2], flat[1::2], strict=True))
        return tuple([await self._state(channel, backlog.get(channel, 0)) for channel in channel_names()])

    async def pause(self, channel: Channel) -> bool:
        """Hold what is for a channel; False if it was paused before.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        key = keys.CHANNEL_STATE + _with_provider(channel)
        new = await self._redis.hsetnx(key, "pausedAt", int(time.time() * 1000))
        if new:
            await self._redis.hset(key, "reason", "operator")
        return bool(new)

    async def resume(self, channel: Channel) -> bool:
        """Let a channel go on, whatever stopped it; False if nothing did.

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
        """Hand a text to the subscribers as if an agent had replied; the id of its delivery.

        Args:
            channel: by which.
            to: a chat's number, a phone number, a URL.
            text: what to send.
            provider: WhatsApp: `cloud` or `twilio`; empty: as configured.
            sender: which bot or number sends it; empty: the first one.

        Raises:
            InvalidInput: the channel cannot be tested so.
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
        """How a delivery ended, or where it is after `patience` seconds.

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
        found: dict[str, str] = await self._redis.hgetall(keys.CHANNEL_STATE + channel)
        held = await self._redis.zcard(keys.HELD + channel)
        now = int(time.time() * 1000)
        spec = find_channel(channel)
        open_until = int(float(found.get("openUntil", 0)))
        paused, broken = "pausedAt" in found, open_until > now
        rates = [await self._next_slot_ms(bucket) for bucket in spec.rate_buckets(self._settings)]
        next_send = max(open_until, min(rates, default=0))
        gone: Any = await self._redis.zrangebyscore(keys.CALLBACKS_GONE, now, "+inf")
        return ChannelState(
            channel=channel,
            configured=spec.is_configured(self._settings),
            state="paused" if paused else "broken" if broken else "open",
            backlog=backlog + held,
            held=held,
            reason=found.get("reason", ""),
            next_send=next_send if next_send > now and not paused else None,
            last_error=found.get("code", ""),
            advice=advise(found.get("code", "")),
            failed_at=int(found["failedAt"]) if "failedAt" in found else None,
            urls_gone=[member.partition(" ")[2] for member in gone] if spec.has_gone_urls else [],
        )

    async def _next_slot_ms(self, bucket: Bucket) -> int:
        full = await self._redis.get(keys.BUCKET + bucket.name)
        return int(float(full or 0) - bucket.interval * (bucket.burst - 1))


def _with_provider(channel: Channel) -> Channel:
    if find_channel(channel).create_sender is None:
        raise InvalidInput(
            f"Channel {channel} goes to the sockets that are open; it has no provider to pause or test."
        )
    return channel
