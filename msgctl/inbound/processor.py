"""Processing of parsed webhooks: each item once, however often the provider repeats it."""

import time

from msgctl.channels.inbound import Inbound, InboundOther, InboundText, StatusUpdate
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import update_status
from msgctl.delivery.error_help import advise
from msgctl.delivery.response_stream import publish_operator_message
from msgctl.domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from msgctl.intake.accept import AgentDirectory, Intake, Submission
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

WEBHOOK_DEDUP_TTL_S = 8 * 86_400
"""Seconds for which a webhook is recognized as repeated; Meta repeats failed ones for 7 days."""
WINDOW_TTL_S = 30 * 86_400
"""Seconds for which the time of a customer's last message is kept."""
UNREADABLE_NOTICE_INTERVAL_S = 60
"""Seconds in which a customer is told only once that the agent reads only text: an album is many messages."""

log = logs.get_logger(__name__)


class InboundProcessor:
    """Enqueues the messages of customers, and writes the statuses of providers into delivery records.

    Args:
        redis: a client for short commands.
        settings: `inbound.unreadable`.
        intake: accepts messages.
        agents: finds the owner of an agent.
    """

    def __init__(self, redis: RedisClient, settings: Settings, intake: Intake, agents: AgentDirectory) -> None:
        self._redis = redis
        self._settings = settings
        self._intake = intake
        self._agents = agents

    async def process(self, item: Inbound) -> None:
        """Process one item of a webhook.

        Raises:
            Unavailable: it cannot be processed now; the provider repeats it.
            TryLater: the conversation is full; the provider repeats it.
        """
        if isinstance(item, StatusUpdate):
            await update_status(
                self._redis, item.message_id, item.provider_id, item.status, code=item.code, text=advise(item.code)
            )
        else:
            await self._process_once(item)

    async def _process_once(self, item: InboundText | InboundOther) -> None:
        key = keys.INBOUND + item.message_id
        if item.phone:
            await self._open_window(item.phone, min(item.said_at or time.time(), time.time()))
        if await self._redis.exists(key):
            metrics.INBOUND_MESSAGES.labels(item.channel, "repeated").inc()
            return
        if isinstance(item, InboundText):
            await self._accept(item)
        else:
            await self._skip(item)
        await self._redis.set(key, 1, ex=WEBHOOK_DEDUP_TTL_S)

    async def _open_window(self, phone: str, said_at: float) -> None:
        """Permit free texts to this customer for 24 h after the message, unless a later message has done so."""
        key = keys.WINDOW + digest(phone)
        last_ms = await self._redis.get(key)
        if said_at * 1000 > int(last_ms or 0):
            await self._redis.set(key, int(said_at * 1000), ex=WINDOW_TTL_S)

    async def _skip(self, item: InboundOther) -> None:
        metrics.INBOUND_MESSAGES.labels(item.channel, item.kind).inc()
        text = self._settings.inbound.unreadable
        is_told = bool(item.conversation_id and text) and await self._redis.set(
            f"{keys.INBOUND}told:{item.conversation_id}", 1, ex=UNREADABLE_NOTICE_INTERVAL_S, nx=True
        )
        log.info(
            "A customer sent a message that is not a text",
            kind=item.kind,
            channel=item.channel,
            told=bool(is_told),
        )
        if is_told:
            await publish_operator_message(
                self._redis,
                text,
                message_id=item.message_id,
                conversation_id=item.conversation_id,
                channel=item.channel,
                metadata=item.metadata,
                author="inbound",
            )

    async def _accept(self, message: InboundText) -> None:
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
            await self._intake.accept(submission, agent.user_id, customer=message.customer, quoted=message.quoted)
        except NotFound:
            raise Unavailable("The agent of this channel is not active.") from None
        except (InvalidInput, Conflict) as error:
            # A repetition would fail too, and an error status would make the provider repeat it for days.
            log.error("A customer's message cannot be accepted", messageId=message.message_id, error=error.message)  # noqa: TRY400 - a traceback adds nothing
            metrics.INBOUND_MESSAGES.labels(message.channel, "refused").inc()
        else:
            metrics.INBOUND_MESSAGES.labels(message.channel, "text").inc()
