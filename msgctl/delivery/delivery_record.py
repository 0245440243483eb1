"""The record of each delivery: what was tried, when, and how it ended; written before a provider is called.

    NEW → SENDING → SENT | FAILED | UNKNOWN      a web response without a socket is KEPT for `resume`

It is also the fence: a delivery that is over is never begun again, whoever finds it in the stream.
"""

from enum import StrEnum

import msgspec

from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.delivery.stream_entry import StreamEntry
from msgctl.domain.errors import DeliveryFailed
from msgctl.domain.messages import Response, WireStruct
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

BEGIN_ATTEMPT = Script.beside(__file__, "begin_attempt")
FINISH_ATTEMPT = Script.beside(__file__, "finish_attempt")
RESCHEDULE = Script.beside(__file__, "reschedule")

NO_SEND_LIMITS = SendLimits()
MIN_RECORD_TTL_S = 86_400.0
"""Seconds a record is kept at least: it guards against a second send as long as the stream may repeat itself."""


class DeliveryState(StrEnum):
    """Where a delivery is."""

    NEW = "NEW"
    SENDING = "SENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    KEPT = "KEPT"


class DeliveryRecord(WireStruct, frozen=True):
    """What is known of one delivery; times are Unix milliseconds."""

    state: DeliveryState
    channel: str
    attempts: int = 0
    """Tries of the part it is at."""
    part: int = 0
    """Parts that are sent."""
    provider_id: str | None = None
    """The provider's id, one a part with commas between; for web the id of a socket."""
    code: str | None = None
    """The last failure, e.g. `telegram_403`."""
    text: str | None = None
    resends: int = 0
    """How often a part was sent again although it may have arrived."""
    receipt: str | None = None
    """What the provider told afterwards: sent, delivered, read, failed."""
    receipt_at: int | None = None
    retried_at: int | None = None
    """When it was taken up again after it had ended: it may have been overtaken."""
    created_at: int | None = None
    sending_at: int | None = None
    ended_at: int | None = None


class SendPermit(msgspec.Struct, frozen=True):
    """What BEGIN allows: to send `part` as try number `attempts` of it."""

    token: str
    part: int
    attempts: int
    resends: int = 0
    """How often this part was sent again although it may have arrived, this try included."""
    rejection: str = ""
    """Why it need not be tried: `window_closed`, `callback_gone`."""
    rate_waits: int = 0
    """How often this part was turned away for a rate."""


class UnknownOutcome(msgspec.Struct, frozen=True):
    """It is UNKNOWN, and the caller's to resolve."""

    permit: SendPermit
    sent_at_ms: int
    """Unix milliseconds of the try that may have arrived."""
    code: str
    text: str
    """Why nobody knows."""
    newly_detected: bool = False
    """Its sender is gone, and this caller is the first to know."""


class NotYet(msgspec.Struct, frozen=True):
    """It is not its turn before `due`, in Unix milliseconds."""

    due_ms: int


class RateLimited(msgspec.Struct, frozen=True):
    """The rate allows it in so many milliseconds."""

    wait_ms: int


class ChannelHeld(msgspec.Struct, frozen=True):
    """Its channel is paused or broken."""


BeginResult = SendPermit | UnknownOutcome | NotYet | RateLimited | ChannelHeld
"""What BEGIN says of a delivery that is not over."""


def record_ttl_ms(settings: Settings) -> int:
    """Milliseconds a record is kept after its last change."""
    return int(max(settings.retention.completed, MIN_RECORD_TTL_S) * 1000)


async def find_record(redis: RedisClient, message_id: str) -> DeliveryRecord | None:
    """The record of a message's delivery; None while nothing was tried."""
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
        entry: StreamEntry,
        response: Response,
        token: str,
        *,
        idempotent: bool,
        limits: SendLimits = NO_SEND_LIMITS,
        resend: bool = False,
    ) -> BeginResult | None:
        """Ask for the turn of a response; None if its delivery is over.

        Args:
            entry: the entry that carries it.
            response: what is to be sent.
            token: stands for this one try.
            idempotent: whether the receiver bears a second send, so that a lost sender needs no `UNKNOWN`.
            limits: what stands before it besides its turn.
            resend: send once more what is UNKNOWN, and was given to this token to resolve.
        """
        buckets = [word for one in limits.buckets for word in (one.name, one.interval, one.burst)]
        verdict, *facts = await BEGIN_ATTEMPT(
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
            *buckets,
        )
        match verdict:
            case "go":
                return SendPermit(token, *facts)
            case "doubt":
                return UnknownOutcome(SendPermit(token, *facts[:3]), *facts[3:])
            case "behind":
                return NotYet(facts[0])
            case "pace":
                return RateLimited(facts[0])
            case "held":
                return ChannelHeld()
        return None

    async def record_part_sent(self, entry: StreamEntry, permit: SendPermit, provider_id: str) -> bool:
        """One part arrived, others follow; False if they are another subscriber's to send."""
        return await self._finish_attempt(
            entry, permit, DeliveryState.NEW, provider_id=provider_id, part=permit.part + 1
        )

    async def record_sent(self, entry: StreamEntry, permit: SendPermit, provider_id: str) -> None:
        """All of it arrived."""
        await self._finish_attempt(
            entry, permit, DeliveryState.SENT, provider_id=provider_id, part=permit.part + 1
        )

    async def record_end(
        self, entry: StreamEntry, permit: SendPermit, state: DeliveryState, failure: DeliveryFailed, body: bytes
    ) -> None:
        """It ended as FAILED or UNKNOWN; the body is kept for a person who sends it again."""
        await self._finish_attempt(entry, permit, state, part=permit.part, failure=failure, body=body)

    async def schedule_retry(
        self,
        entry: StreamEntry,
        permit: SendPermit,
        body: bytes,
        *,
        delay_s: float,
        failure: DeliveryFailed,
        state: DeliveryState = DeliveryState.NEW,
        until_channel_resumes: bool = False,
        counts_as_attempt: bool = True,
    ) -> None:
        """This try failed; there is another look after `delay` seconds.

        Args:
            entry: the entry that carries it.
            permit: the try.
            body: what comes back.
            delay_s: seconds.
            failure: why.
            state: NEW, or UNKNOWN where it may have arrived.
            until_channel_resumes: until its channel works again, instead of a delay.
            counts_as_attempt: whether the try counts.
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
        )

    async def reschedule(self, entry: StreamEntry, body: bytes, *, due_ms: int, token: str = "") -> None:
        """It is not its turn: look again later.

        Args:
            entry: the entry that carries it.
            body: the response as JSON, to be put back into the stream.
            due_ms: when, in Unix milliseconds; or, if negative, after so many milliseconds.
            token: of its try; empty where none was begun.
        """
        await self._reschedule(entry, -due_ms, body, token)

    async def hold_for_channel(self, entry: StreamEntry, body: bytes, token: str) -> None:
        """Its channel is paused or broken: it waits until that works again."""
        await self._reschedule(entry, 0, body, token, until_channel_resumes=True)

    async def _finish_attempt(
        self,
        entry: StreamEntry,
        permit: SendPermit,
        state: DeliveryState,
        *,
        part: int,
        provider_id: str = "",
        failure: DeliveryFailed | None = None,
        body: bytes = b"",
    ) -> bool:
        code, text = (failure.code, failure.message) if failure else ("", "")
        message_id = entry.event.message_id
        told = await FINISH_ATTEMPT(
            self._redis, message_id, permit.token, entry.id, state, provider_id, code, text, part, body
        )
        return bool(told)

    async def _reschedule(
        self,
        entry: StreamEntry,
        pause_ms: int,
        body: bytes,
        token: str,
        *,
        failure: DeliveryFailed | None = None,
        state: DeliveryState = DeliveryState.NEW,
        until_channel_resumes: bool = False,
        counts_as_attempt: bool = True,
    ) -> None:
        code, text = (failure.code, failure.message) if failure else ("", "")
        await RESCHEDULE(
            self._redis,
            entry.event.message_id,
            entry.id,
            token,
            pause_ms,
            entry.channel,
            body,
            code,
            text,
            self._ttl_ms,
            state,
            int(until_channel_resumes),
            int(not counts_as_attempt),
        )
