"""The record of each delivery: what was tried, when, and how it ended; written before a provider is called.

    NEW → SENDING → SENT | FAILED | UNKNOWN      a web response without a socket is KEPT for `resume`

It is also the fence: a delivery that is over is never begun again, whoever finds it in the stream.
"""

from enum import StrEnum

import msgspec

from msgctl import contracts
from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.delivery.entry import Entry
from msgctl.errors import DeliveryFailed
from msgctl.messages import Record, Response
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

BEGIN = Script.beside(__file__, "begin_attempt")
SETTLE = Script.beside(__file__, "finish_attempt")
POSTPONE = Script.beside(__file__, "reschedule")

NO_GATES = SendLimits()
LEAST_TTL = 86_400.0
"""Seconds a record is kept at least: it guards against a second send as long as the stream may repeat itself."""


class DeliveryState(StrEnum):
    """Where a delivery is."""

    NEW = "NEW"
    SENDING = "SENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    KEPT = "KEPT"


class DeliveryRecord(Record, frozen=True):
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


class Turn(msgspec.Struct, frozen=True):
    """What BEGIN allows: to send `part` as try number `attempts` of it."""

    token: str
    part: int
    attempts: int
    resends: int = 0
    """How often this part was sent again although it may have arrived, this try included."""
    refusal: str = ""
    """Why it need not be tried: `window_closed`, `callback_gone`."""
    waits: int = 0
    """How often this part was turned away for a rate."""


class Doubt(msgspec.Struct, frozen=True):
    """It is UNKNOWN, and the caller's to resolve."""

    turn: Turn
    sent_at: int
    """Unix milliseconds of the try that may have arrived."""
    code: str
    text: str
    """Why nobody knows."""
    found_now: bool = False
    """Its sender is gone, and this caller is the first to know."""


class Behind(msgspec.Struct, frozen=True):
    """It is not its turn before `due`, in Unix milliseconds."""

    due: int


class Pace(msgspec.Struct, frozen=True):
    """The rate allows it in so many milliseconds."""

    wait: int


class Held(msgspec.Struct, frozen=True):
    """Its channel is paused or broken."""


Verdict = Turn | Doubt | Behind | Pace | Held
"""What BEGIN says of a delivery that is not over."""


def record_ttl(settings: Settings) -> int:
    """Milliseconds a record is kept after its last change."""
    return int(max(settings.retention.completed, LEAST_TTL) * 1000)


async def find(redis: RedisClient, message_id: str) -> DeliveryRecord | None:
    """The record of a message's delivery; None while nothing was tried."""
    fields = await redis.hgetall(contracts.DELIVERY + message_id)
    if not fields.get("state"):
        return None
    return msgspec.convert({name: value for name, value in fields.items() if value}, DeliveryRecord, strict=False)


class Records:
    """Writes the records.

    Args:
        redis: a client for short commands.
        settings: `retention.completed`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._ttl = record_ttl(settings)

    async def begin(
        self,
        entry: Entry,
        response: Response,
        token: str,
        *,
        repeatable: bool,
        gates: SendLimits = NO_GATES,
        resend: bool = False,
    ) -> Verdict | None:
        """Ask for the turn of a response; None if its delivery is over.

        Args:
            entry: the entry that carries it.
            response: what is to be sent.
            token: stands for this one try.
            repeatable: whether the receiver bears a second send, so that a lost sender needs no `UNKNOWN`.
            gates: what stands before it besides its turn.
            resend: send once more what is UNKNOWN, and was given to this token to resolve.
        """
        buckets = [word for one in gates.buckets for word in (one.name, one.interval, one.burst)]
        verdict, *facts = await BEGIN(
            self._redis,
            response.message_id,
            token,
            entry.id,
            response.channel,
            response.conversation_id,
            response.seq or 0,
            int(repeatable),
            self._ttl,
            int(resend),
            gates.window,
            gates.url,
            *buckets,
        )
        match verdict:
            case "go":
                return Turn(token, *facts)
            case "doubt":
                return Doubt(Turn(token, *facts[:3]), *facts[3:])
            case "behind":
                return Behind(facts[0])
            case "pace":
                return Pace(facts[0])
            case "held":
                return Held()
        return None

    async def part_sent(self, entry: Entry, turn: Turn, provider_id: str) -> bool:
        """One part arrived, others follow; False if they are another subscriber's to send."""
        return await self._settle(entry, turn, DeliveryState.NEW, provider_id=provider_id, part=turn.part + 1)

    async def sent(self, entry: Entry, turn: Turn, provider_id: str) -> None:
        """All of it arrived."""
        await self._settle(entry, turn, DeliveryState.SENT, provider_id=provider_id, part=turn.part + 1)

    async def ended(
        self, entry: Entry, turn: Turn, state: DeliveryState, failure: DeliveryFailed, body: bytes
    ) -> None:
        """It ended as FAILED or UNKNOWN; the body is kept for a person who sends it again."""
        await self._settle(entry, turn, state, part=turn.part, failure=failure, body=body)

    async def retry(
        self,
        entry: Entry,
        turn: Turn,
        body: bytes,
        *,
        delay: float,
        failure: DeliveryFailed,
        state: DeliveryState = DeliveryState.NEW,
        hold: bool = False,
        counts_as_attempt: bool = True,
    ) -> None:
        """This try failed; there is another look after `delay` seconds.

        Args:
            entry: the entry that carries it.
            turn: the try.
            body: what comes back.
            delay: seconds.
            failure: why.
            state: NEW, or UNKNOWN where it may have arrived.
            hold: until its channel works again, instead of a delay.
            counts_as_attempt: whether the try counts.
        """
        await self._postpone(
            entry,
            int(delay * 1000),
            body,
            turn.token,
            failure=failure,
            state=state,
            hold=hold,
            counts_as_attempt=counts_as_attempt,
        )

    async def postpone(self, entry: Entry, body: bytes, *, due: int, token: str = "") -> None:
        """It is not its turn: look again later.

        Args:
            entry: the entry that carries it.
            body: the response as JSON, to be put back into the stream.
            due: when, in Unix milliseconds; or, if negative, after so many milliseconds.
            token: of its try; empty where none was begun.
        """
        await self._postpone(entry, -due, body, token)

    async def hold(self, entry: Entry, body: bytes, token: str) -> None:
        """Its channel is paused or broken: it waits until that works again."""
        await self._postpone(entry, 0, body, token, hold=True)

    async def _settle(
        self,
        entry: Entry,
        turn: Turn,
        state: DeliveryState,
        *,
        part: int,
        provider_id: str = "",
        failure: DeliveryFailed | None = None,
        body: bytes = b"",
    ) -> bool:
        code, text = (failure.code, failure.message) if failure else ("", "")
        message_id = entry.event.message_id
        told = await SETTLE(
            self._redis, message_id, turn.token, entry.id, state, provider_id, code, text, part, body
        )
        return bool(told)

    async def _postpone(
        self,
        entry: Entry,
        pause: int,
        body: bytes,
        token: str,
        *,
        failure: DeliveryFailed | None = None,
        state: DeliveryState = DeliveryState.NEW,
        hold: bool = False,
        counts_as_attempt: bool = True,
    ) -> None:
        code, text = (failure.code, failure.message) if failure else ("", "")
        await POSTPONE(
            self._redis,
            entry.event.message_id,
            entry.id,
            token,
            pause,
            entry.channel,
            body,
            code,
            text,
            self._ttl,
            state,
            int(hold),
            int(not counts_as_attempt),
        )
