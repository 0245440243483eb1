"""Taking in what a webhook brings: once, however often the provider repeats it."""

import time

from redis.asyncio import Redis

from msgctl import contracts, logs
from msgctl.config import Settings
from msgctl.delivery.advice import advise
from msgctl.delivery.gates import digest
from msgctl.delivery.receipts import Receipts
from msgctl.errors import Conflict, InvalidInput, NotFound, Unavailable
from msgctl.inbound.word import Receipt, Word
from msgctl.intake import AgentDirectory, Intake, Submission
from msgctl.redisdb import unavailable_as_error

REMEMBERED = 8 * 86_400
"""Seconds a webhook is known for; Meta repeats what failed for 7 days."""
WINDOW_REMEMBERED = 30 * 86_400
"""Seconds for which it is known when a customer last wrote."""

log = logs.get(__name__)


class Reception:
    """Puts customers' words into the queue, and providers' news into the records.

    Args:
        redis: a client of `redisdb.connect`.
        settings: where Redis is.
        intake: accepts messages.
        agents: whose they are.
    """

    def __init__(self, redis: Redis, settings: Settings, intake: Intake, agents: AgentDirectory) -> None:
        self._redis = redis
        self._settings = settings
        self._intake = intake
        self._agents = agents
        self._receipts = Receipts(redis)

    async def take(self, brought: Word | Receipt) -> None:
        """Take in one thing that a webhook brought.

        Raises:
            Unavailable: it could not be, now; the provider will repeat it.
            TryLater: the conversation is full; likewise.
        """
        with unavailable_as_error(self._settings):
            if isinstance(brought, Receipt):
                await self._receipts.note(
                    brought.message_id, brought.provider_id, brought.status, brought.code, advise(brought.code)
                )
            else:
                await self._hear(brought)

    async def _hear(self, word: Word) -> None:
        key = contracts.INBOUND + word.message_id
        if word.phone:
            now = int(time.time() * 1000)
            await self._redis.set(contracts.WINDOW + digest(word.phone), now, ex=WINDOW_REMEMBERED)
        if await self._redis.exists(key):
            return
        agent = await self._agents.find(word.agent_id.lower())
        if agent is None:
            raise Unavailable(
                f"[{word.channel}] agent names none: the customer's message is left with the provider."
            )
        submission = Submission(
            agent_id=word.agent_id,
            message=word.text,
            conversation_id=word.conversation_id,
            channel=word.channel,
            channel_metadata=word.metadata,
            message_id=word.message_id,
        )
        try:
            await self._intake.accept(submission, agent.user_id)
        except NotFound:
            raise Unavailable("The agent of this channel is not active.") from None
        except (InvalidInput, Conflict) as error:
            # Repeating it would not help, and a refusal would have it repeated for days.
            log.error("A customer's message cannot be taken in", messageId=word.message_id, error=error.message)  # noqa: TRY400 - a traceback says no more
        await self._redis.set(key, 1, ex=REMEMBERED)
