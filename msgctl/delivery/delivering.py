"""One delivery to a phone or a callback: its turn, its parts, and what becomes of it when a try fails."""

import random
import secrets

from msgctl import logs, spans
from msgctl.config import Settings
from msgctl.delivery.entry import Entry, stamped
from msgctl.delivery.handler import Handler
from msgctl.delivery.outage import Outage
from msgctl.delivery.record import Behind, DeliveryState, Records, Turn
from msgctl.errors import BadAddress, DeliveryFailed, DeliveryUnknown
from msgctl.messages import Response
from msgctl.metrics import DELIVERIES, DELIVERY_DURATION
from msgctl.retry import Again, Policy, decide

log = logs.get(__name__)


class Delivering:
    """Takes one entry from BEGIN to its end, and outlasts outages of Redis meanwhile.

    Args:
        settings: `delivery.attempts`, `retry.base`, `retry.cap`.
        records: writes what happens.
        handler: sends.
    """

    def __init__(self, settings: Settings, records: Records, handler: Handler) -> None:
        self._settings = settings
        self._policy = Policy(settings.delivery.attempts, settings.retry.base, settings.retry.cap)
        self._records = records
        self._handler = handler

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
        while await self._send_next_part(entry, response):
            pass

    async def _send_next_part(self, entry: Entry, response: Response) -> bool:
        """Whether there is another part to send."""
        turn = await self._begin(entry, response)
        if turn is None:
            return False
        try:
            provider_id, parts = await self._send(response, turn)
        except DeliveryFailed as failure:
            await self._fail(entry, response, turn, failure)
            return False
        outage = Outage(self._settings, "record a delivery")
        if turn.part + 1 < parts:
            await outage.insist(lambda: self._records.part_sent(entry, turn, provider_id))
            return True
        await outage.insist(lambda: self._records.sent(entry, turn, provider_id))
        DELIVERIES.labels(response.channel, "sent").inc()
        about = {"messageId": response.message_id, "channel": response.channel}
        log.info("Delivered", providerId=provider_id, parts=parts, **about)
        return False

    async def _begin(self, entry: Entry, response: Response) -> Turn | None:
        """The turn of this response; None if it is over, or waits in Redis for those before it."""
        outage = Outage(self._settings, "begin a delivery")
        token = secrets.token_hex(8)
        turn = await outage.insist(
            lambda: self._records.begin(entry, response, token, repeatable=self._handler.repeatable)
        )
        if isinstance(turn, Behind):
            due = turn.due
            await outage.insist(lambda: self._records.postpone(entry, response.to_json(), due=due))
            return None
        return turn

    async def _send(self, response: Response, turn: Turn) -> tuple[str, int]:
        """Send one part; its id and how many parts there are."""
        try:
            parts = self._handler.parts(response)
            if turn.part >= len(parts):
                raise BadAddress("The reply is blank: there is nothing to send.", code="blank_reply")  # noqa: TRY301 - as if the handler had
            with DELIVERY_DURATION.labels(response.channel).time():
                return await self._handler.send(response, parts[turn.part], first=turn.part == 0), len(parts)
        except DeliveryFailed:
            raise
        except Exception as error:
            log.exception("Handler broke", messageId=response.message_id, channel=response.channel)
            raise DeliveryUnknown(f"The handler broke ({type(error).__name__}).", code="internal_error") from error

    async def _fail(self, entry: Entry, response: Response, turn: Turn, failure: DeliveryFailed) -> None:
        """Give it another try later, or end it."""
        outage = Outage(self._settings, "record a failed delivery")
        about = {"messageId": response.message_id, "channel": response.channel, "attempt": turn.attempts}
        about |= {"code": failure.code, "error": failure.message}
        delay = self._pause(turn, failure)
        if delay is not None:
            DELIVERIES.labels(response.channel, "postponed").inc()
            log.warning("Delivery failed, to be tried again", delay=round(delay, 1), **about)
            await outage.insist(
                lambda: self._records.retry(entry, turn, response.to_json(), delay=delay, failure=failure)
            )
            return
        state = DeliveryState.UNKNOWN if isinstance(failure, DeliveryUnknown) else DeliveryState.FAILED
        DELIVERIES.labels(response.channel, state.lower()).inc()
        log.error("Delivery ended", state=state, **about)
        await outage.insist(lambda: self._records.ended(entry, turn, state, failure))

    def _pause(self, turn: Turn, failure: DeliveryFailed) -> float | None:
        """Seconds before the next try, or None if there is none; doubt is not resolved by sending blindly."""
        if isinstance(failure, DeliveryUnknown) and not self._handler.repeatable:
            return None
        decision = decide(
            self._policy,
            failure.fault,
            attempts=turn.attempts,
            holds=0,
            chance=random.random(),
            retry_after=failure.retry_after,
        )
        return decision.delay if isinstance(decision, Again) else None
