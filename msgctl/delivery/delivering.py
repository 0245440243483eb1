"""One delivery to a phone or a callback: its turn, its parts, and what becomes of it when a try fails."""

import asyncio
import secrets

from msgctl import logs, spans
from msgctl.channels.base import ChannelSender
from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.delivery.channel import Channels
from msgctl.delivery.doubts import Arrived, CheckLater, Doubts, Resend
from msgctl.delivery.entry import Entry, stamped
from msgctl.delivery.outage import Outage
from msgctl.delivery.patience import Patience
from msgctl.delivery.record import Behind, DeliveryState, Doubt, Held, Pace, Records, Turn
from msgctl.errors import BadAddress, DeliveryFailed, DeliveryUnknown
from msgctl.messages import Response
from msgctl.metrics import definitions as metrics
from msgctl.retry import RetryLater

SHORT = 1500
"""Milliseconds a delivery waits for its rate in its slot; for longer ones it waits in Redis."""
REFUSALS = {
    "window_closed": "Outside the 24 h window: only a template can be sent now.",
    "callback_gone": "The URL has answered 410: it is not called for a while.",
}

log = logs.get(__name__)


class Delivering:
    """Takes one entry from BEGIN to its end, and outlasts outages of Redis meanwhile.

    Args:
        settings: `delivery.*`, `retry.*`.
        records: writes what happens.
        channels: is told of failures.
        sender: sends.
    """

    def __init__(self, settings: Settings, records: Records, channels: Channels, sender: ChannelSender) -> None:
        self._patience = Patience(settings, sender)
        self._doubts = Doubts(settings, sender)
        self._records = records
        self._channels = channels
        self._sender = sender

    async def deliver(self, entry: Entry, response: Response) -> None:
        """Send every part that is not sent yet, and record how it ends. Does not raise."""
        response = stamped(entry, response)
        try:
            with (
                logs.bound(messageId=response.message_id, conversationId=response.conversation_id, step="deliver"),
                spans.of("deliver", response.message_id, kind="client", channel=response.channel),
            ):
                await self._deliver(entry, response)
        except Exception:
            # A fault of ours, not of this delivery: it stays pending, and in sight.
            log.exception("Delivery broke off", messageId=response.message_id, channel=response.channel)

    async def _deliver(self, entry: Entry, response: Response) -> None:
        gates = self._gates(response)
        going = True
        while going:
            turn = await self._begin(entry, response, gates, secrets.token_hex(8))
            if isinstance(turn, Doubt):
                going = await self._resolve(entry, response, gates, turn)
            else:
                going = turn is not None and await self._try(entry, response, gates, turn)

    def _gates(self, response: Response) -> SendLimits:
        try:
            return self._sender.send_limits(response)
        except DeliveryFailed:
            return SendLimits()  # the try will tell

    async def _begin(
        self, entry: Entry, response: Response, gates: SendLimits, token: str, *, resend: bool = False
    ) -> Turn | Doubt | None:
        """The turn of this response; None if it is over, or waits in Redis."""
        outage = Outage("begin a delivery")
        while True:
            verdict = await outage.insist(
                lambda: self._records.begin(
                    entry, response, token, repeatable=self._sender.idempotent, gates=gates, resend=resend
                )
            )
            match verdict:
                case Pace(wait) if wait <= SHORT:
                    await asyncio.sleep(wait / 1000)
                case Pace(due) | Behind(due):
                    at = -due if isinstance(verdict, Pace) else due
                    await outage.insist(
                        lambda at=at: self._records.postpone(entry, response.to_json(), due=at, token=token)  # type: ignore[misc]
                    )
                    return None
                case Held():
                    await outage.insist(lambda: self._records.hold(entry, response.to_json(), token))
                    return None
                case _:
                    return verdict

    async def _try(self, entry: Entry, response: Response, gates: SendLimits, turn: Turn) -> bool:
        """Send one part; whether there is another one to send."""
        try:
            provider_id, parts = await self._send(response, turn)
        except DeliveryFailed as failure:
            await self._fail(entry, response, gates, turn, failure)
            return False
        return await self._arrived(entry, response, turn, provider_id, parts)

    async def _arrived(self, entry: Entry, response: Response, turn: Turn, provider_id: str, parts: int) -> bool:
        outage = Outage("record a delivery")
        if turn.part + 1 < parts:
            return await outage.insist(lambda: self._records.part_sent(entry, turn, provider_id))
        await outage.insist(lambda: self._records.sent(entry, turn, provider_id))
        metrics.DELIVERIES.labels(response.channel, "sent").inc()
        about = {"messageId": response.message_id, "channel": response.channel}
        log.info("Delivered", providerId=provider_id, parts=parts, **about)
        return False

    async def _send(self, response: Response, turn: Turn) -> tuple[str, int]:
        """Send one part; its id and how many parts there are."""
        if turn.refusal:
            raise BadAddress(REFUSALS[turn.refusal], code=turn.refusal)
        try:
            parts = self._sender.parts(response)
            if not parts:
                raise BadAddress("The reply is blank: there is nothing to send.", code="blank_reply")  # noqa: TRY301 - as if the handler had
            if turn.part >= len(parts):
                return "", len(parts)  # a status webhook has told that the last one arrived
            with metrics.DELIVERY_DURATION.labels(response.channel).time():
                return await self._sender.send(response, parts[turn.part], first=turn.part == 0), len(parts)
        except DeliveryFailed:
            raise
        except Exception as error:
            log.exception("Handler broke", messageId=response.message_id, channel=response.channel)
            raise DeliveryUnknown(f"The handler broke ({type(error).__name__}).", code="internal_error") from error

    async def _fail(
        self, entry: Entry, response: Response, gates: SendLimits, turn: Turn, failure: DeliveryFailed
    ) -> None:
        """Give it another try later, hold it, or end it."""
        outage = Outage("record a failed delivery")
        doubtful = isinstance(failure, DeliveryUnknown) and not self._sender.idempotent
        decision = self._doubts.decide(response, turn) if doubtful else self._patience.decide(turn, failure)
        later = decision if isinstance(decision, RetryLater) else None
        delay = later.delay if later else 0
        if not turn.refusal:
            await outage.insist(
                lambda: self._channels.fault(
                    response.channel, failure, gates, wait=delay, breaks=not self._sender.idempotent
                )
            )
        if later is None and not failure.stops:
            self._tell("unknown" if isinstance(failure, DeliveryUnknown) else "failed", response, turn, failure)
            await self._end(entry, response, turn, failure)
            return
        state = DeliveryState.UNKNOWN if doubtful else DeliveryState.NEW
        self._tell("unknown" if doubtful else "postponed", response, turn, failure)
        await outage.insist(
            lambda: self._records.retry(
                entry,
                turn,
                response.to_json(),
                delay=delay,
                failure=failure,
                state=state,
                hold=failure.stops,
                counts_as_attempt=later is not None and later.counts_as_attempt,
            )
        )

    async def _resolve(self, entry: Entry, response: Response, gates: SendLimits, doubt: Doubt) -> bool:
        """Do with a send of doubtful fate what its policy says; whether there is another part to send."""
        turn = doubt.turn
        if doubt.found_now:
            self._tell("unknown", response, turn, DeliveryUnknown(doubt.text, code=doubt.code))
        outcome = await self._doubts.resolve(response, doubt)
        if isinstance(outcome, Arrived):
            return await self._arrived(entry, response, turn, outcome.provider_id, outcome.parts)
        if isinstance(outcome, CheckLater):
            due = outcome.due
            await Outage("postpone a delivery").insist(
                lambda: self._records.postpone(entry, response.to_json(), due=due, token=turn.token)
            )
            return False
        if isinstance(outcome, Resend):
            log.warning("Sent once more, though it may have arrived", messageId=response.message_id)
            again = await self._begin(entry, response, gates, turn.token, resend=True)
            return isinstance(again, Turn) and await self._try(entry, response, gates, again)
        await self._end(entry, response, turn, outcome)
        return False

    async def _end(self, entry: Entry, response: Response, turn: Turn, failure: DeliveryFailed) -> None:
        state = DeliveryState.UNKNOWN if isinstance(failure, DeliveryUnknown) else DeliveryState.FAILED
        await Outage("record the end of a delivery").insist(
            lambda: self._records.ended(entry, turn, state, failure, response.to_json())
        )

    def _tell(self, outcome: str, response: Response, turn: Turn, failure: DeliveryFailed) -> None:
        metrics.DELIVERIES.labels(response.channel, outcome).inc()
        say = log.warning if outcome == "postponed" else log.error
        say(
            "Delivery failed",
            outcome=outcome,
            messageId=response.message_id,
            channel=response.channel,
            attempt=turn.attempts,
            code=failure.code,
            error=failure.message,
        )
