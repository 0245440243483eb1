"""One delivery to a phone or a callback: its permission to send, its parts, and the handling of failures."""

import asyncio
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgctl.channels.base import ChannelSender, ChannelSpec
from msgctl.channels.send_limits import SendLimits
from msgctl.channels.text.styled import TextPart
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
from msgctl.delivery.parts import DeliveryParts
from msgctl.delivery.response_stream import StreamEntry, with_stream_id
from msgctl.delivery.unknown_outcome import Arrived, CheckLater, Resend, UnknownOutcomePolicy
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown, FaultClass
from msgctl.domain.messages import Response
from msgctl.domain.retry import GiveUp, RetryLater, RetryPolicy, decide, wait_for_rate
from msgctl.observability import logs, tracing
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.retry import RedisRetry

MAX_WAIT_IN_SLOT_MS = 1500
"""Milliseconds that a delivery waits for its rate in its slot; for longer waits it goes back to Redis."""

log = logs.get_logger(__name__)


class DeliveryRunner:
    """Runs the deliveries of one channel from `begin_attempt` to their end; an outage of Redis only delays them.

    Args:
        settings: `delivery.*`, `retry.*`, `whatsapp.provider`.
        records: the delivery records.
        channel_states: records failures of the channel.
        sender: sends the parts.
        spec: the channel, for its `reply_window` and `error_advice`.
    """

    def __init__(
        self,
        settings: Settings,
        records: DeliveryRecords,
        channel_states: ChannelStateStore,
        sender: ChannelSender,
        spec: ChannelSpec,
    ) -> None:
        self._spec = spec
        self._window_s = spec.reply_window.seconds if spec.reply_window else 0.0
        self._retry_policy = RetryPolicy(
            settings.delivery.attempts, settings.retry.base, settings.retry.cap, schedule=sender.schedule
        )
        self._unknown_policy = UnknownOutcomePolicy(settings, sender)
        self._settings = settings
        self._records = records
        self._channel_states = channel_states
        self._sender = sender

    async def deliver(self, entry: StreamEntry, response: Response) -> None:
        """Send every part that was not sent yet, and record the outcome; does not raise."""
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
            # A fault of msgctl, not of this delivery: it stays pending and visible.
            log.exception("Delivery broke off", messageId=response.message_id, channel=response.channel)

    def decide_retry(self, permit: SendPermit, failure: DeliveryFailed) -> RetryLater | GiveUp:
        """Decide when a failed part that did not arrive is sent again, if at all.

        A part of which nobody can be sure that it was not sent is sent once more at most.
        """
        if failure.is_doubtful and permit.resends and not self._sender.idempotent:
            return GiveUp()
        if failure.exceeded_limit and not failure.is_doubtful and failure.fault is not FaultClass.FINAL:
            return wait_for_rate(
                failure.initial_pause_s, snoozes=permit.rate_waits, retry_after=failure.retry_after
            )
        return decide(self._retry_policy, failure, attempts=permit.attempts, snoozes=0, chance=random.random())

    async def _deliver_parts(self, entry: StreamEntry, response: Response) -> None:
        limits = self._send_limits(response)
        parts = DeliveryParts(response, self._settings, self._sender, self._records)
        has_more = True
        while has_more:
            permit = await self._begin_attempt(entry, response, limits, secrets.token_hex(8))
            if isinstance(permit, UnknownOutcome):
                has_more = await self._resolve_unknown(entry, response, limits, parts, permit)
            else:
                has_more = permit is not None and await self._send_part(entry, response, limits, parts, permit)

    def _send_limits(self, response: Response) -> SendLimits:
        try:
            return self._sender.send_limits(response)
        except DeliveryFailed:
            return SendLimits()  # the attempt fails for the same reason, and is recorded

    async def _begin_attempt(
        self, entry: StreamEntry, response: Response, limits: SendLimits, token: str, *, resend: bool = False
    ) -> SendPermit | UnknownOutcome | None:
        """Return the permission to send; None if the delivery has ended or was put back into Redis."""
        redis_retry = RedisRetry("begin a delivery")
        while True:
            result = await redis_retry.run_until_success(
                lambda: self._records.begin_attempt(
                    entry,
                    response,
                    token,
                    idempotent=self._sender.idempotent,
                    limits=limits,
                    window_s=self._window_s,
                    resend=resend,
                )
            )
            match result:
                case RateLimited(wait_ms) if wait_ms <= MAX_WAIT_IN_SLOT_MS:
                    await asyncio.sleep(wait_ms / 1000)
                case RateLimited(ms) | NotYet(ms):
                    due_ms = -ms if isinstance(result, RateLimited) else ms
                    await redis_retry.run_until_success(
                        lambda due_ms=due_ms: self._records.reschedule(  # type: ignore[misc]
                            entry, response.to_json(), due_ms=due_ms, token=token
                        )
                    )
                    return None
                case ChannelHeld():
                    await redis_retry.run_until_success(
                        lambda: self._records.hold_for_channel(entry, response.to_json(), token)
                    )
                    return None
                case _:
                    return result

    async def _send_part(
        self,
        entry: StreamEntry,
        response: Response,
        limits: SendLimits,
        delivery_parts: DeliveryParts,
        permit: SendPermit,
    ) -> bool:
        """Send one part; return whether there is another one to send."""
        try:
            parts = await self._load_parts(response, delivery_parts, permit)
            if not await delivery_parts.record(permit, parts):
                return False  # another subscriber has taken the delivery over
            provider_id = await self._call_sender(response, permit, parts)
        except DeliveryFailed as failure:
            await self._handle_failure(entry, response, limits, permit, failure)
            return False
        return await self._record_arrival(entry, response, permit, provider_id, len(parts))

    async def _record_arrival(
        self, entry: StreamEntry, response: Response, permit: SendPermit, provider_id: str, parts: int
    ) -> bool:
        redis_retry = RedisRetry("record a delivery")
        if not permit.is_last(parts):
            return await redis_retry.run_until_success(
                lambda: self._records.record_part_sent(entry, permit, provider_id)
            )
        has_arrived = await redis_retry.run_until_success(
            lambda: self._records.record_sent(entry, permit, provider_id, response.to_json())
        )
        metrics.DELIVERIES.labels(response.channel, "sent" if has_arrived else "failed").inc()
        log_fields = {"messageId": response.message_id, "channel": response.channel}
        if has_arrived:
            log.info("Delivered", providerId=provider_id, parts=parts, **log_fields)
        else:
            log.warning("A part did not arrive", providerId=provider_id, parts=parts, **log_fields)
        return False

    async def _load_parts(
        self, response: Response, delivery_parts: DeliveryParts, permit: SendPermit
    ) -> Sequence[TextPart]:
        if permit.rejection:
            text = self._spec.error_advice.get(permit.rejection, f"The reply is rejected: {permit.rejection}.")
            raise BadAddress(text, code=permit.rejection)
        with self._report_bug(response, may_have_sent=False):
            parts = await delivery_parts.load(permit)
        if not parts:
            raise BadAddress("The reply is blank: there is nothing to send.", code="blank_reply")
        return parts

    async def _call_sender(self, response: Response, permit: SendPermit, parts: Sequence[TextPart]) -> str:
        """Send one part; return its provider id."""
        if permit.part >= len(parts):
            return ""  # a status webhook has reported that the last part arrived
        with (
            self._report_bug(response, may_have_sent=True),
            metrics.DELIVERY_DURATION.labels(response.channel).time(),
        ):
            return await self._sender.send(response, parts[permit.part], first=permit.part == 0)

    @contextmanager
    def _report_bug(self, response: Response, *, may_have_sent: bool) -> Iterator[None]:
        """Turn an error that no sender should raise into a failure, with its traceback in the log.

        Args:
            response: the response that was to be sent.
            may_have_sent: whether the outcome is unknown, because the sender had begun to send.
        """
        try:
            yield
        except DeliveryFailed:
            raise
        except Exception as error:
            log.exception("Sender raised an error", messageId=response.message_id, channel=response.channel)
            text = f"The sender raised an error ({type(error).__name__})."
            if may_have_sent:
                raise DeliveryUnknown(text, code="internal_error") from error
            raise DeliveryFailed(text, fault=FaultClass.FINAL, code="internal_error") from error

    async def _handle_failure(
        self,
        entry: StreamEntry,
        response: Response,
        limits: SendLimits,
        permit: SendPermit,
        failure: DeliveryFailed,
    ) -> None:
        """Schedule another attempt, hold the delivery for its channel, or end it."""
        redis_retry = RedisRetry("record a failed delivery")
        is_unknown = isinstance(failure, DeliveryUnknown) and not self._sender.idempotent
        decision = (
            self._unknown_policy.decide(response, permit, failure)
            if isinstance(failure, DeliveryUnknown) and is_unknown
            else self.decide_retry(permit, failure)
        )
        retry = decision if isinstance(decision, RetryLater) else None
        delay_s = retry.delay if retry else 0
        if not permit.rejection:
            await redis_retry.run_until_success(
                lambda: self._channel_states.record_failure(
                    response.channel,
                    failure,
                    limits,
                    closed_for_s=delay_s,
                    counts_against_channel=not self._sender.idempotent,
                )
            )
        if retry is None and not failure.stops_channel:
            outcome = str(_final_state(permit, failure)).lower()
            self._report_failure(outcome, response, permit, failure)
            await self._record_end(entry, response, permit, failure)
            return
        self._report_failure("unknown" if is_unknown else "postponed", response, permit, failure)
        await redis_retry.run_until_success(
            lambda: self._records.schedule_retry(
                entry,
                permit,
                response.to_json(),
                delay_s=delay_s,
                failure=failure,
                state=DeliveryState.UNKNOWN if is_unknown else DeliveryState.NEW,
                until_channel_resumes=failure.stops_channel,
                counts_as_attempt=retry is not None and retry.counts_as_attempt,
                counts_as_resend=failure.is_doubtful and not is_unknown,
            )
        )

    async def _resolve_unknown(
        self,
        entry: StreamEntry,
        response: Response,
        limits: SendLimits,
        delivery_parts: DeliveryParts,
        unknown: UnknownOutcome,
    ) -> bool:
        """Treat an unknown outcome as its policy says; return whether there is another part to send."""
        permit = unknown.permit
        if unknown.newly_detected:
            self._report_failure("unknown", response, permit, DeliveryUnknown(unknown.text, code=unknown.code))
        resolution = await self._unknown_policy.resolve(response, delivery_parts, unknown)
        if isinstance(resolution, Arrived):
            return await self._record_arrival(entry, response, permit, resolution.provider_id, resolution.parts)
        if isinstance(resolution, CheckLater):
            due_ms = resolution.due_ms
            await RedisRetry("postpone a delivery").run_until_success(
                lambda: self._records.reschedule(entry, response.to_json(), due_ms=due_ms, token=permit.token)
            )
            return False
        if isinstance(resolution, Resend):
            log.warning("Sent once more, though it may have arrived", messageId=response.message_id)
            renewed = await self._begin_attempt(entry, response, limits, permit.token, resend=True)
            return isinstance(renewed, SendPermit) and await self._send_part(
                entry, response, limits, delivery_parts, renewed
            )
        await self._record_end(entry, response, permit, resolution)
        return False

    async def _record_end(
        self, entry: StreamEntry, response: Response, permit: SendPermit, failure: DeliveryFailed
    ) -> None:
        state = _final_state(permit, failure)
        await RedisRetry("record the end of a delivery").run_until_success(
            lambda: self._records.record_end(entry, permit, state, failure, response.to_json())
        )

    def _report_failure(
        self, outcome: str, response: Response, permit: SendPermit, failure: DeliveryFailed
    ) -> None:
        metrics.DELIVERIES.labels(response.channel, outcome).inc()
        write_log = log.warning if outcome == "postponed" else log.error
        write_log(
            "Delivery failed",
            outcome=outcome,
            messageId=response.message_id,
            channel=response.channel,
            attempt=permit.attempts,
            code=failure.code,
            error=failure.message,
        )


def _final_state(permit: SendPermit, failure: DeliveryFailed) -> DeliveryState:
    """Return the state in which a delivery ends; UNKNOWN as well if an earlier attempt may have arrived."""
    is_unknown = isinstance(failure, DeliveryUnknown) or (
        permit.is_doubted and failure.fault is not FaultClass.FINAL
    )
    return DeliveryState.UNKNOWN if is_unknown else DeliveryState.FAILED
