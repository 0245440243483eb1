"""A queue and a worker's claims on the test's own Redis database, and messages to put through them."""

import itertools
from collections.abc import Awaitable, Callable

import pytest

from msgctl.config.settings import Settings
from msgctl.messages import Draft, Failure, Message, Reply, Turn
from msgctl.redisdb.client import RedisClient
from msgctl.rqueue.claims import Claimed, Claims, Committed
from msgctl.rqueue.queue import Enqueued, Queue

Enqueue = Callable[..., Awaitable[Enqueued]]


@pytest.fixture
def queue(redis: RedisClient, settings: Settings) -> Queue:
    """The queue under test."""
    return Queue(redis, settings)


@pytest.fixture
def claims(redis: RedisClient, settings: Settings) -> Claims:
    """The claims of a worker called w1."""
    return Claims(redis, settings, "w1")


@pytest.fixture
def enqueue(queue: Queue) -> Enqueue:
    """Puts a message into the queue; `enqueue("id", conversation="c", priority=5, user="u")`."""
    numbers = itertools.count(1)

    async def put(
        message_id: str = "", *, conversation: str = "", priority: int = 5, user: str = "u", text: str = "hello"
    ) -> Enqueued:
        number = next(numbers)
        message = Message(
            message_id=message_id or f"m{number}",
            conversation_id=conversation or f"c{number}",
            agent_id="a",
            user_id=user,
            message=text,
            priority=priority,
            timestamp="2026-01-01T00:00:00.000Z",
        )
        return await queue.enqueue(message, digest=message.digest())

    return put


def draft(claimed: Claimed, text: str = "an answer") -> Draft:
    """A response to a claimed message."""
    message = claimed.message
    return Draft(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        agent_id=message.agent_id,
        response=Reply(message=text),
        channel=message.channel,
        channel_metadata=message.channel_metadata,
        timestamp="2026-01-01T00:00:01.000Z",
        processing_time=12,
        user_id=message.user_id,
    )


async def commit(claims: Claims, claimed: Claimed, text: str = "an answer") -> Committed | None:
    """Answer a claimed message."""
    response = draft(claimed, text)
    turns = (
        Turn(role="user", content=claimed.message.message, timestamp=claimed.message.timestamp),
        Turn(role="assistant", content=text, timestamp=response.timestamp),
    )
    return await claims.commit(claimed, response, turns)


def failure(claimed: Claimed) -> Failure:
    """What the sender of a claimed message is told if it fails for good."""
    message = claimed.message
    return Failure(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        user_id=message.user_id,
        channel=message.channel,
        code="n8n_rejected",
        timestamp="2026-01-01T00:00:01.000Z",
    )
