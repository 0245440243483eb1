"""Taking in what a webhook brings: once, however often the provider repeats it."""

import time

from msgctl.channels.inbound import Inbound, InboundOther, InboundText, StatusUpdate
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.delivery.error_help import advise
from msgctl.delivery.operator_message import publish_operator_message
from msgctl.delivery.status_updates import StatusUpdateWriter
from msgctl.domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from msgctl.intake.accept import AgentDirectory, Intake, Submission
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

REMEMBERED = 8 * 86_400
"""Seconds a webhook is known for; Meta repeats what failed for 7 days."""
WINDOW_REMEMBERED = 30 * 86_400
"""Seconds for which it is known when a customer last wrote."""
TOLD_EVERY = 60
"""Seconds in which a customer is told once that only text can be read: an album is many messages."""

log = logs.get_logger(__name__)


class Reception:
    """Puts customers' words into the queue, and providers' news into the records.

    Args:
        redis: a client of `redisdb.connect`.
        settings: `inbound.unreadable`.
        intake: accepts messages.
        agents: whose they are.
    """

    def __init__(self, redis: RedisClient, settings: Settings, intake: Intake, agents: AgentDirectory) -> None:
        self._redis = redis
        self._settings = settings
        self._intake = intake
        self._agents = agents
        self._receipts = StatusUpdateWriter(redis)

    async def take(self, brought: Inbound) -> None:
        """Take in one thing that a webhook brought.

        Raises:
            Unavailable: it could not be, now; the provider will repeat it.
            TryLater: the conversation is full; likewise.
        """
        if isinstance(brought, StatusUpdate):
            await self._receipts.write(
                brought.message_id, brought.provider_id, brought.status, brought.code, advise(brought.code)
            )
        else:
            await self._take_once(brought)

    async def _take_once(self, brought: InboundText | InboundOther) -> None:
        key = keys.INBOUND + brought.message_id
        if brought.phone:
            await self._open_window(brought.phone, min(brought.said_at or time.time(), time.time()))
        if await self._redis.exists(key):
            metrics.INBOUND_MESSAGES.labels(brought.channel, "repeated").inc()
            return
        if isinstance(brought, InboundText):
            await self._receive(brought)
        else:
            await self._pass_over(brought)
        await self._redis.set(key, 1, ex=REMEMBERED)

    async def _open_window(self, phone: str, moment: float) -> None:
        """The customer has written: for 24 h from then on any text may be sent. A late webhook changes nothing."""
        key = keys.WINDOW + digest(phone)
        last = await self._redis.get(key)
        if moment * 1000 > int(last or 0):
            await self._redis.set(key, int(moment * 1000), ex=WINDOW_REMEMBERED)

    async def _pass_over(self, other: InboundOther) -> None:
        metrics.INBOUND_MESSAGES.labels(other.channel, other.kind).inc()
        text = self._settings.inbound.unreadable
        is_told = bool(other.conversation_id and text) and await self._redis.set(
            f"{keys.INBOUND}told:{other.conversation_id}", 1, ex=TOLD_EVERY, nx=True
        )
        log.info("A customer sent what is no text", kind=other.kind, channel=other.channel, told=bool(is_told))
        if is_told:
            await publish_operator_message(
                self._redis,
                text,
                message_id=other.message_id,
                conversation_id=other.conversation_id,
                channel=other.channel,
                metadata=other.metadata,
                author="inbound",
            )

    async def _receive(self, message: InboundText) -> None:
        agent = await self._agents.find(message.agent_id.lower())
        if agent is None:
            raise Unavailable(
                "The agent of this bot or number does not exist: the customer's message is left with the provider."
            )
        submission = Submission(
            agent_id=message.agent_id,
            message=message.text,
            conversation_id=message.conversation_id,
            channel=message.channel,
            channel_metadata=message.metadata,
            message_id=message.message_id,
        )
        try:
            await self._intake.accept(submission, agent.user_id)
        except NotFound:
            raise Unavailable("The agent of this channel is not active.") from None
        except (InvalidInput, Conflict) as error:
            # Repeating it would not help, and a refusal would have it repeated for days.
            log.error("A customer's message cannot be taken in", messageId=message.message_id, error=error.message)  # noqa: TRY400 - a traceback says no more
            metrics.INBOUND_MESSAGES.labels(message.channel, "refused").inc()
        else:
            metrics.INBOUND_MESSAGES.labels(message.channel, "text").inc()
