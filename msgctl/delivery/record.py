"""The record of each delivery: what was tried, when, and how it ended; written before a provider is called.

    NEW → SENDING → SENT | FAILED | UNKNOWN      a web response without a socket is KEPT for `resume`

It is also the fence: a delivery that is over is never begun again, whoever finds it in the stream.
"""

from enum import StrEnum

import msgspec
from redis.asyncio import Redis

from msgctl import contracts
from msgctl.config import Settings
from msgctl.delivery.entry import Entry
from msgctl.errors import DeliveryFailed
from msgctl.messages import Record, Response
from msgctl.redisdb import Script

BEGIN = Script.beside(__file__, "begin")
SETTLE = Script.beside(__file__, "settle")
POSTPONE = Script.beside(__file__, "postpone")

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
    created_at: int | None = None
    sending_at: int | None = None
    ended_at: int | None = None


class Turn(msgspec.Struct, frozen=True):
    """What BEGIN allows: to send `part` as try number `attempts` of it."""

    token: str
    part: int
    attempts: int


class Behind(msgspec.Struct, frozen=True):
    """It is not its turn before `due`, in Unix milliseconds."""

    due: int


def record_ttl(settings: Settings) -> int:
    """Milliseconds a record is kept after its last change."""
    return int(max(settings.retention.completed, LEAST_TTL) * 1000)


async def find(redis: Redis, message_id: str) -> DeliveryRecord | None:
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

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._ttl = record_ttl(settings)

    async def begin(
        self, entry: Entry, response: Response, token: str, *, repeatable: bool
    ) -> Turn | Behind | None:
        """Ask for the turn of a response; None if its delivery is over.

        Args:
            entry: the entry that carries it.
            response: what is to be sent.
            token: stands for this one try.
            repeatable: whether the receiver bears a second send, so that a lost sender needs no `UNKNOWN`.
        """
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
        )
        if verdict == "go":
            return Turn(token, *facts)
        return Behind(facts[0]) if verdict == "behind" else None

    async def part_sent(self, entry: Entry, turn: Turn, provider_id: str) -> None:
        """One part arrived, others follow."""
        await self._settle(entry, turn, DeliveryState.NEW, provider_id=provider_id, part=turn.part + 1)

    async def sent(self, entry: Entry, turn: Turn, provider_id: str) -> None:
        """All of it arrived."""
        await self._settle(entry, turn, DeliveryState.SENT, provider_id=provider_id, part=turn.part + 1)

    async def ended(self, entry: Entry, turn: Turn, state: DeliveryState, failure: DeliveryFailed) -> None:
        """It ended as FAILED or UNKNOWN."""
        await self._settle(entry, turn, state, part=turn.part, failure=failure)

    async def retry(self, entry: Entry, turn: Turn, body: bytes, *, delay: float, failure: DeliveryFailed) -> None:
        """This try failed; there is another one after `delay` seconds."""
        await self._postpone(entry, int(delay * 1000), body, token=turn.token, failure=failure)

    async def postpone(self, entry: Entry, body: bytes, *, due: int) -> None:
        """It is not its turn: look again at `due`, in Unix milliseconds; or, if negative, after -`due`."""
        await self._postpone(entry, -due, body)

    async def _settle(
        self,
        entry: Entry,
        turn: Turn,
        state: DeliveryState,
        *,
        part: int,
        provider_id: str = "",
        failure: DeliveryFailed | None = None,
    ) -> None:
        code, text = (failure.code, failure.message) if failure else ("", "")
        message_id = entry.event.message_id
        await SETTLE(self._redis, message_id, turn.token, entry.id, state, provider_id, code, text, part)

    async def _postpone(
        self, entry: Entry, pause: int, body: bytes, *, token: str = "", failure: DeliveryFailed | None = None
    ) -> None:
        code, text = (failure.code, failure.message) if failure else ("", "")
        message_id, channel = entry.event.message_id, entry.channel
        await POSTPONE(self._redis, message_id, entry.id, token, pause, channel, body, code, text, self._ttl)
