"""The record of each delivery: its attempts and its outcome, written before a provider is called.

    NEW → SENDING → SENT | FAILED | UNKNOWN      a web response without a socket is KEPT for `resume`

The record is also the fence: a delivery that has ended is never started again.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.domain.errors import DeliveryFailed
from msgctl.domain.messages import Response, WireStruct
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgctl.channels.text.styled import TextPart  # the command line need not import it
    from msgctl.delivery.response_stream import StreamEntry  # which imports this module

BEGIN_ATTEMPT = Script.beside(__file__, "begin_attempt")
RECORD_PARTS = Script.beside(__file__, "record_parts")
FINISH_ATTEMPT = Script.beside(__file__, "finish_attempt")
RESCHEDULE = Script.beside(__file__, "reschedule")

MAY_CONTINUE, HAS_FAILED_PART = 1, 2
"""Results of `finish_attempt`."""
NO_SEND_LIMITS = SendLimits()
MIN_RECORD_TTL_S = 86_400.0
"""Seconds that a record is kept at least: it prevents a second send as long as the stream may repeat an entry."""


class DeliveryState(StrEnum):
    """The state of a delivery."""

    NEW = "NEW"
    SENDING = "SENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    KEPT = "KEPT"


class DeliveryRecord(WireStruct, frozen=True):
    """The stored state of one delivery; times are Unix milliseconds."""

    state: DeliveryState
    channel: str
    attempts: int = 0
    """Attempts of the current part."""
    part: int = 0
    """Parts that were sent."""
    provider_id: str | None = None
    """The provider's ids of the parts, separated by commas; for web the id of a socket."""
    code: str | None = None
    """The code of the last failure, e.g. `telegram_403`."""
    text: str | None = None
    resends: int = 0
    """How often a part was sent again although it may have arrived."""
    receipt: str | None = None
    """The status that the provider reported afterwards: sent, delivered, read, failed."""
    receipt_at: int | None = None
    retried_at: int | None = None
    """When it was resumed after it had ended: later responses may have been sent before it."""
    created_at: int | None = None
    sending_at: int | None = None
    ended_at: int | None = None


class SendPermit(msgspec.Struct, frozen=True):
    """The permission to send `part` as attempt number `attempts` of that part."""

    token: str
    part: int
    attempts: int
    resends: int = 0
    """How often this part was sent again although it may have arrived, including this attempt."""
    texts: str | None = ""
    """The recorded parts as JSON. Empty: none were recorded yet, or there is only one. None: the delivery was
    begun by a version that did not record them."""
    done: int = 0
    """How many parts were sent in their order."""
    repeats: int = 0
    """How many of them are sent again because they did not arrive, with this one; 0: this is the next part."""
    rejection: str = ""
    """Why calling the provider is pointless: `window_closed`, `callback_gone`."""
    rate_waits: int = 0
    """How often the provider rejected this part because of a rate limit."""
    is_doubted: int = 0
    """1 if an earlier attempt at this part may have arrived."""

    @property
    def done_after(self) -> int:
        """How many parts were sent in their order once this one is."""
        return self.done if self.repeats else self.part + 1

    def is_last(self, parts: int) -> bool:
        """Return whether no other of so many parts is to be sent."""
        return self.repeats <= 1 and self.done_after >= parts


class UnknownOutcome(msgspec.Struct, frozen=True):
    """The delivery is UNKNOWN, and the caller must resolve it."""

    permit: SendPermit
    sent_at_ms: int
    """Unix milliseconds of the attempt that may have arrived."""
    code: str
    text: str
    """Why the outcome is unknown."""
    newly_detected: bool = False
    """The sending subscriber has died, and this caller is the first to detect it."""


class NotYet(msgspec.Struct, frozen=True):
    """An earlier response of the conversation goes first; ask again at `due_ms`, in Unix milliseconds."""

    due_ms: int


class RateLimited(msgspec.Struct, frozen=True):
    """A rate permits the send after `wait_ms` milliseconds."""

    wait_ms: int


class ChannelHeld(msgspec.Struct, frozen=True):
    """The channel is paused or broken."""


BeginResult = SendPermit | UnknownOutcome | NotYet | RateLimited | ChannelHeld
"""The result of starting an attempt of a delivery that has not ended."""


def record_ttl_ms(settings: Settings) -> int:
    """Return how many milliseconds a record is kept after its last change."""
    return int(max(settings.retention.completed, MIN_RECORD_TTL_S) * 1000)


async def find_record(redis: RedisClient, message_id: str) -> DeliveryRecord | None:
    """Return the delivery record of a message, or None before the first attempt."""
    fields = await redis.hgetall(keys.DELIVERY + message_id)
    if not fields.get("state"):
        return None
    return msgspec.convert({name: value for name, value in fields.items() if value}, DeliveryRecord, strict=False)


class DeliveryRecords:
    """Writes the records.

    Args:
        redis: a client for short commands.
        settings: `retention.completed`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._ttl_ms = record_ttl_ms(settings)

    async def begin_attempt(
        self,
        entry: "StreamEntry",
        response: Response,
        token: str,
        *,
        idempotent: bool,
        limits: SendLimits = NO_SEND_LIMITS,
        window_s: float = 0,
        resend: bool = False,
    ) -> BeginResult | None:
        """Ask for the permission to send a response; return None if its delivery has ended.

        Args:
            entry: the entry that carries it.
            response: the response to send.
            token: identifies this attempt.
            idempotent: whether the receiver deduplicates, so that a dead sender leaves no `UNKNOWN`.
            limits: the send limits to respect.
            window_s: seconds after a customer's message in which the channel may write; 0: at any time.
            resend: send an UNKNOWN part again that was assigned to this token to resolve.
        """
        buckets = [value for bucket in limits.buckets for value in (bucket.name, bucket.interval, bucket.burst)]
        outcome, *values = await BEGIN_ATTEMPT(
            self._redis,
            response.message_id,
            token,
            entry.id,
            response.channel,
            response.conversation_id,
            response.seq or 0,
            int(idempotent),
            self._ttl_ms,
            int(resend),
            limits.window,
            limits.url,
            limits.to_json(),
            int(window_s * 1000),
            *buckets,
        )
        match outcome:
            case "permitted":
                return SendPermit(token, *values)
            case "unknown":
                return UnknownOutcome(SendPermit(token, *values[:6]), *values[6:])
            case "not_yet":
                return NotYet(values[0])
            case "rate_limited":
                return RateLimited(values[0])
            case "channel_held":
                return ChannelHeld()
        return None

    async def record_parts(self, message_id: str, permit: SendPermit, parts: "Sequence[TextPart]") -> bool:
        """Record the parts before the first one is sent; return whether this attempt may still send."""
        is_current = await RECORD_PARTS(self._redis, message_id, permit.token, msgspec.json.encode(parts))
        return bool(is_current)

    async def record_part_sent(self, entry: "StreamEntry", permit: SendPermit, provider_id: str) -> bool:
        """Record that one of several parts was sent; return whether this subscriber may send the next one."""
        return (
            await self._finish_attempt(
                entry, permit, DeliveryState.NEW, provider_id=provider_id, part=permit.done_after
            )
            == MAY_CONTINUE
        )

    async def record_sent(self, entry: "StreamEntry", permit: SendPermit, provider_id: str, body: bytes) -> bool:
        """Record that the last part was sent; return False if the provider has reported a failed one."""
        return (
            await self._finish_attempt(
                entry, permit, DeliveryState.SENT, provider_id=provider_id, part=permit.done_after, body=body
            )
            != HAS_FAILED_PART
        )

    async def record_end(
        self, entry: "StreamEntry", permit: SendPermit, state: DeliveryState, failure: DeliveryFailed, body: bytes
    ) -> None:
        """Record that the delivery ended as FAILED or UNKNOWN; keep the body for an operator's retry."""
        await self._finish_attempt(entry, permit, state, part=permit.done, failure=failure, body=body)

    async def schedule_retry(
        self,
        entry: "StreamEntry",
        permit: SendPermit,
        body: bytes,
        *,
        delay_s: float,
        failure: DeliveryFailed,
        state: DeliveryState = DeliveryState.NEW,
        until_channel_resumes: bool = False,
        counts_as_attempt: bool = True,
        counts_as_resend: bool = False,
    ) -> None:
        """Record a failed attempt, and put the response back into the stream after `delay_s`.

        Args:
            entry: the entry that carries it.
            permit: the failed attempt.
            body: the response as JSON.
            delay_s: seconds.
            failure: why the attempt failed.
            state: NEW, or UNKNOWN if the part may have arrived.
            until_channel_resumes: wait until the channel works again, instead of `delay_s`.
            counts_as_attempt: whether the attempt counts.
            counts_as_resend: whether the next attempt sends the part again although this one may have sent it.
        """
        await self._reschedule(
            entry,
            int(delay_s * 1000),
            body,
            permit.token,
            failure=failure,
            state=state,
            until_channel_resumes=until_channel_resumes,
            counts_as_attempt=counts_as_attempt,
            counts_as_resend=counts_as_resend,
        )

    async def reschedule(self, entry: "StreamEntry", body: bytes, *, due_ms: int, token: str = "") -> None:
        """Postpone a response that cannot be sent yet.

        Args:
            entry: the entry that carries it.
            body: the response as JSON, which is put back into the stream.
            due_ms: when, in Unix milliseconds; or, if negative, after that many milliseconds.
            token: the token of its attempt; empty if none was started.
        """
        await self._reschedule(entry, -due_ms, body, token)

    async def hold_for_channel(self, entry: "StreamEntry", body: bytes, token: str) -> None:
        """Postpone a response until its channel, which is paused or broken, works again."""
        await self._reschedule(entry, 0, body, token, until_channel_resumes=True)

    async def _finish_attempt(
        self,
        entry: "StreamEntry",
        permit: SendPermit,
        state: DeliveryState,
        *,
        part: int,
        provider_id: str = "",
        failure: DeliveryFailed | None = None,
        body: bytes = b"",
    ) -> int:
        code, text = (failure.code, failure.message) if failure else ("", "")
        message_id = entry.event.message_id
        result = await FINISH_ATTEMPT(
            self._redis,
            message_id,
            permit.token,
            entry.id,
            state,
            provider_id,
            code,
            text,
            part,
            body,
            permit.part,
        )
        return int(result)

    async def _reschedule(
        self,
        entry: "StreamEntry",
        delay_ms: int,
        body: bytes,
        token: str,
        *,
        failure: DeliveryFailed | None = None,
        state: DeliveryState = DeliveryState.NEW,
        until_channel_resumes: bool = False,
        counts_as_attempt: bool = True,
        counts_as_resend: bool = False,
    ) -> None:
        code, text = (failure.code, failure.message) if failure else ("", "")
        await RESCHEDULE(
            self._redis,
            entry.event.message_id,
            entry.id,
            token,
            delay_ms,
            entry.channel,
            body,
            code,
            text,
            self._ttl_ms,
            state,
            int(until_channel_resumes),
            int(not counts_as_attempt),
            int(counts_as_resend),
        )
