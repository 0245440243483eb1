"""Processing of parsed webhooks: each item once, however often the provider repeats it."""

import time

import msgspec

from msgctl.channels.inbound import (
    Inbound,
    InboundEvent,
    InboundMove,
    InboundOther,
    InboundRefused,
    InboundText,
    StatusUpdate,
)
from msgctl.channels.send_limits import digest
from msgctl.config.settings import Settings
from msgctl.delivery.response_stream import publish_operator_message
from msgctl.domain.errors import Conflict, InvalidInput, NotFound, TryLater, Unavailable
from msgctl.inbound.conversations import ConversationDirectory
from msgctl.inbound.refusals import RefusalAccount
from msgctl.inbound.statuses import StatusProcessor
from msgctl.intake.accept import AgentDirectory, Intake, Submission
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

WEBHOOK_DEDUP_TTL_S = 8 * 86_400
"""Seconds for which a webhook is recognized as repeated; Meta repeats failed ones for 7 days."""
WINDOW_TTL_S = 30 * 86_400
"""Seconds for which the time of a customer's last message is kept."""
UNREADABLE_NOTICE_INTERVAL_S = 60
"""Seconds in which a customer is told only once that the agent reads only text: an album is many messages."""


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
        self._conversations = ConversationDirectory(redis, settings)
        self._statuses = StatusProcessor(redis, settings)
        self.refusals = RefusalAccount()
        """The account of records that were not taken."""

    async def process(self, item: Inbound) -> None:
        """Process one record of a webhook.

        Raises:
            Unavailable: it cannot be processed now; the provider repeats it.
        """
        match item:
            case InboundMove():
                await self._conversations.resolve(*item.conversation_ids)
                self.refusals.note(item.channel, item.kind)
            case StatusUpdate():
                await self._statuses.process(item)
            case InboundEvent():
                self.refusals.note(item.channel, item.kind)
            case InboundRefused():
                self.refusals.refuse(item.channel, item.reason, item.why, kind=item.kind)
            case _:
                await self._process_once(item)

    async def _process_once(self, item: InboundText | InboundOther) -> None:
        key = keys.INBOUND + item.message_id
        if item.phone:
            for address in (item.phone, *item.other_addresses):
                await self._open_window(address, min(item.said_at or time.time(), time.time()))
        if await self._redis.exists(key):
            metrics.INBOUND_MESSAGES.labels(item.channel, "repeated").inc()
            return
        if item.conversation_id:
            conversation_id = await self._conversations.resolve(item.conversation_id, *item.aliases)
            item = msgspec.structs.replace(item, conversation_id=conversation_id)
        if isinstance(item, InboundText):
            has_ended = await self._accept(item)
        else:
            has_ended = await self._skip(item)
        if has_ended:
            await self._redis.set(key, 1, ex=WEBHOOK_DEDUP_TTL_S)

    async def _open_window(self, phone: str, said_at: float) -> None:
        """Permit free texts to this customer for 24 h after the message, unless a later message has done so."""
        key = keys.WINDOW + digest(phone)
        last_ms = await self._redis.get(key)
        if said_at * 1000 > int(last_ms or 0):
            await self._redis.set(key, int(said_at * 1000), ex=WINDOW_TTL_S)

    async def _skip(self, item: InboundOther) -> bool:
        text = self._settings.inbound.unreadable
        is_told = bool(item.conversation_id and text) and await self._redis.set(
            f"{keys.INBOUND}told:{item.conversation_id}", 1, ex=UNREADABLE_NOTICE_INTERVAL_S, nx=True
        )
        self.refusals.note(item.channel, item.kind, told=bool(is_told))
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
        return True

    async def _accept(self, message: InboundText) -> bool:
        """Enqueue a text; return whether a repetition of it would be the same message again.

        A full conversation is no reason to ask for a repetition: Telegram would send nothing else of the bot until
        it succeeds, and Meta the whole webhook again for days. See docs/adr/0013-records-of-webhooks.md.
        """
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
        except TryLater as error:
            self.refusals.refuse(message.channel, "mailbox_full", error.message)
            return False
        except (InvalidInput, Conflict) as error:
            # A repetition would fail too, and an error status would make the provider repeat it for days.
            self.refusals.refuse(message.channel, error.code, error.message)
        else:
            metrics.INBOUND_MESSAGES.labels(message.channel, "text").inc()
        return True
