"""Messages to measure with: short, of one user, each with a digest as `intake` gives it."""

import asyncio
from datetime import UTC, datetime

from msgctl.config.settings import Settings
from msgctl.domain.messages import Message, Reply, Turn, UnnumberedResponse
from msgctl.queue.leases import CommitResult, LeaseClient, LeasedMessage
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient

USER = "20000000-0000-4000-8000-000000000000"
AGENT = "10000000-0000-4000-8000-000000000000"
ANSWER = "Here is an answer of a realistic length, as a model would give it. " * 5
BATCH = 500


def message(number: int, conversations: int) -> Message:
    """The message with a number, in one of so many conversations; all of a conversation have one priority."""
    conversation = number % conversations
    return Message(
        message_id=f"m{number}",
        conversation_id=f"c{conversation}",
        agent_id=AGENT,
        user_id=USER,
        message=f"Hello, what can you tell me about order number {number}?",
        channel_metadata={"websocketId": "00000000-0000-4000-8000-000000000000"},
        priority=1 + conversation % 10,
        timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


async def enqueue(queue: Queue, number: int, conversations: int) -> None:
    """Put one message into the queue, as the gateway does."""
    offered = message(number, conversations)
    await queue.enqueue(offered, digest=offered.digest())


async def fill(redis: RedisClient, settings: Settings, *, count: int, conversations: int, first: int = 0) -> None:
    """Put many messages into the queue, hundreds in a round trip; `first` is the number of the first."""
    queue = Queue(redis, settings)
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        await asyncio.gather(*(enqueue(queue, number, conversations) for number in numbers))


async def commit(claims: LeaseClient, claimed: LeasedMessage) -> CommitResult | None:
    """Answer a message, as step 80 of the pipeline does."""
    asked = claimed.message
    response = UnnumberedResponse(
        message_id=asked.message_id,
        conversation_id=asked.conversation_id,
        agent_id=asked.agent_id,
        response=Reply(message=ANSWER, tokens_used=120, model="none", finish_reason="stop"),
        channel=asked.channel,
        channel_metadata=asked.channel_metadata,
        timestamp=asked.timestamp,
        processing_time=0,
        user_id=asked.user_id,
    )
    turns = (
        Turn(role="user", content=asked.message, timestamp=asked.timestamp),
        Turn(role="assistant", content=ANSWER, timestamp=asked.timestamp),
    )
    return await claims.commit(claimed, response, turns)
