"""One delivery to a phone or a callback: its turn, its parts, and what becomes of it when a try fails."""

import asyncio
import secrets

from msgctl.channels.base import ChannelSender
from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.delivery.channel_state import ChannelStateStore
from msgctl.delivery.delivery_record import (
    ChannelHeld,
    DeliveryRecords,
    DeliveryState,
    NotYet,
    RateLimited,
    SendPermit,
    UnknownOutcome,
)
from msgctl.delivery.retry_delay import RetryDelay
from msgctl.delivery.stream_entry import StreamEntry, with_stream_id
from msgctl.delivery.unknown_outcome import Arrived, CheckLater, Resend, UnknownOutcomePolicy
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown
from msgctl.domain.messages import Response
from msgctl.domain.retry import RetryLater
from msgctl.observability import logs, tracing
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.retry import RedisRetry

MAX_WAIT_IN_SLOT_MS = 1500
"""Milliseconds a delivery waits for its rate in its slot; for longer ones it waits in Redis."""
REJECTION_TEXTS = {
    "window_closed": "Outside the 24 h window: only a template can be sent now.",
    "callback_gone": "The URL has answered 410: it is not called for a while.",
}

log = logs.get_logger(__name__)


class DeliveryRunner:
    """Takes one entry from BEGIN to its end, and outlasts outages of Redis meanwhile.

    Args:
        settings: `delivery.*`, `retry.*`.
        records: writes what happens.
        channel_states: is told of failures.
        sender: sends.
    """

    def __init__(
        self,
        settings: Settings,
        records: DeliveryRecords,
        channel_states: ChannelStateStore,
        sender: ChannelSender,
    ) -> None:
        self._retry_delay = RetryDelay(settings, sender)
        self._unknown_policy = UnknownOutcomePolicy(settings, sender)
        self._records = records
        self._channel_states = channel_states
        self._sender = sender

    async def deliver(self, entry: StreamEntry, response: Response) -> None:
        """Send every part that is not sent yet, and record how it ends. Does not raise."""
        response = with_stream_id(entry, response)
        try:
            with (
                logs.bound_fields(
                    messageId=response.message_id, conversationId=response.conversation_id, step="deliver"
                ),
                tracing.span("deliver", response.message_id, kind="client", channel=response.channel),
            ):
                await self._deliver_parts(entry, response)
        except Exception:
            # A fault of ours, not of this delivery: it stays pending, and in sight.
            log.exception("Delivery broke off", messageId=response.message_id, channel=response.channel)

    async def _deliver_parts(self, entry: StreamEntry, response: Response) -> None:
        gates = self._send_limits(response)
        going = True
        while going:
            turn = await self._begin_attempt(entry, response, gates, secrets.token_hex(8))
            if isinstance(turn, UnknownOutcome):
                going = await self._resolve_unknown(entry, response, gates, turn)
            else:
                going = turn is not None and await self._send_part(entry, response, gates, turn)

    def _send_limits(self, response: Response) -> SendLimits:
        try:
            return self._sender.send_limits(response)
        except DeliveryFailed:
            return SendLimits()  # the try will tell

    async def _begin_attempt(
        self, entry: StreamEntry, response: Response, gates: SendLimits, token: str, *, resend: bool = False
    ) -> SendPermit | UnknownOutcome | None:
        """The turn of this response; None if it is over, or waits in Redis."""
        outage = RedisRetry("begin a delivery")
        while True:
            verdict = await outage.run_until_success(
                lambda: self._records.begin_attempt(
                    entry, response, token, idempotent=self._sender.idempotent, limits=gates, resend=resend
                )
            )
            match verdict:
                case RateLimited(wait) if wait <= MAX_WAIT_IN_SLOT_MS:
                    await asyncio.sleep(wait / 1000)
                case RateLimited(due) | NotYet(due):
                    at = -due if isinstance(verdict, RateLimited) else due
                    await outage.run_until_success(
                        lambda at=at: self._records.reschedule(entry, response.to_json(), due_ms=at, token=token)  # type: ignore[misc]
                    )
                    return None
                case ChannelHeld():
                    await outage.run_until_success(
                        lambda: self._records.hold_for_channel(entry, response.to_json(), token)
                    )
                    return None
                case _:
                    return verdict

    async def _send_part(
        self, entry: StreamEntry, response: Response, gates: SendLimits, turn: SendPermit
    ) -> bool:
        """Send one part; whether there is another one to send."""
        try:
            provider_id, parts = await self._call_sender(response, turn)
        except DeliveryFailed as failure:
            await self._handle_failure(entry, response, gates, turn, failure)
            return False
        return await self._record_arrival(entry, response, turn, provider_id, parts)

    async def _record_arrival(
        self, entry: StreamEntry, response: Response, turn: SendPermit, provider_id: str, parts: int
    ) -> bool:
        outage = RedisRetry("record a delivery")
        if turn.part + 1 < parts:
            return await outage.run_until_success(lambda: self._records.record_part_sent(entry, turn, provider_id))
        await outage.run_until_success(lambda: self._records.record_sent(entry, turn, provider_id))
        metrics.DELIVERIES.labels(response.channel, "sent").inc()
        about = {"messageId": response.message_id, "channel": response.channel}
        log.info("Delivered", providerId=provider_id, parts=parts, **about)
        return False

    async def _call_sender(self, response: Response, turn: SendPermit) -> tuple[str, int]:
        """Send one part; its id and how many parts there are."""
        if turn.rejection:
            raise BadAddress(REJECTION_TEXTS[turn.rejection], code=turn.rejection)
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

    async def _handle_failure(
        self, entry: StreamEntry, response: Response, gates: SendLimits, turn: SendPermit, failure: DeliveryFailed
    ) -> None:
        """Give it another try later, hold it, or end it."""
        outage = RedisRetry("record a failed delivery")
        doubtful = isinstance(failure, DeliveryUnknown) and not self._sender.idempotent
        decision = (
            self._unknown_policy.decide(response, turn) if doubtful else self._retry_delay.decide(turn, failure)
        )
        later = decision if isinstance(decision, RetryLater) else None
        delay = later.delay if later else 0
        if not turn.rejection:
            await outage.run_until_success(
                lambda: self._channel_states.record_failure(
                    response.channel,
                    failure,
                    gates,
                    closed_for_s=delay,
                    counts_against_channel=not self._sender.idempotent,
                )
            )
        if later is None and not failure.stops_channel:
            self._report_failure(
                "unknown" if isinstance(failure, DeliveryUnknown) else "failed", response, turn, failure
            )
            await self._record_end(entry, response, turn, failure)
            return
        state = DeliveryState.UNKNOWN if doubtful else DeliveryState.NEW
        self._report_failure("unknown" if doubtful else "postponed", response, turn, failure)
        await outage.run_until_success(
            lambda: self._records.schedule_retry(
                entry,
                turn,
                response.to_json(),
                delay_s=delay,
                failure=failure,
                state=state,
                until_channel_resumes=failure.stops_channel,
                counts_as_attempt=later is not None and later.counts_as_attempt,
            )
        )

    async def _resolve_unknown(
        self, entry: StreamEntry, response: Response, gates: SendLimits, doubt: UnknownOutcome
    ) -> bool:
        """Do with a send of doubtful fate what its policy says; whether there is another part to send."""
        turn = doubt.permit
        if doubt.newly_detected:
            self._report_failure("unknown", response, turn, DeliveryUnknown(doubt.text, code=doubt.code))
        outcome = await self._unknown_policy.resolve(response, doubt)
        if isinstance(outcome, Arrived):
            return await self._record_arrival(entry, response, turn, outcome.provider_id, outcome.parts)
        if isinstance(outcome, CheckLater):
            due = outcome.due
            await RedisRetry("postpone a delivery").run_until_success(
                lambda: self._records.reschedule(entry, response.to_json(), due_ms=due, token=turn.token)
            )
            return False
        if isinstance(outcome, Resend):
            log.warning("Sent once more, though it may have arrived", messageId=response.message_id)
            again = await self._begin_attempt(entry, response, gates, turn.token, resend=True)
            return isinstance(again, SendPermit) and await self._send_part(entry, response, gates, again)
        await self._record_end(entry, response, turn, outcome)
        return False

    async def _record_end(
        self, entry: StreamEntry, response: Response, turn: SendPermit, failure: DeliveryFailed
    ) -> None:
        state = DeliveryState.UNKNOWN if isinstance(failure, DeliveryUnknown) else DeliveryState.FAILED
        await RedisRetry("record the end of a delivery").run_until_success(
            lambda: self._records.record_end(entry, turn, state, failure, response.to_json())
        )

    def _report_failure(self, outcome: str, response: Response, turn: SendPermit, failure: DeliveryFailed) -> None:
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
