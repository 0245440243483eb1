"""A queue and a worker's leases in the test's own Redis database, and a function that enqueues messages."""

import itertools

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.messages import Message
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import EnqueueResult, Queue
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Enqueue


@pytest.fixture
def queue(redis: RedisClient, settings: Settings) -> Queue:
    """Return the queue under test."""
    return Queue(redis, settings)


@pytest.fixture
def leases(redis: RedisClient, settings: Settings) -> LeaseClient:
    """Return the leases of a worker named w1."""
    return LeaseClient(redis, settings, "w1")


@pytest.fixture
def enqueue(queue: Queue) -> Enqueue:
    """Return a function that enqueues a message: `enqueue("id", conversation="c", priority=5, user="u")`."""
    numbers = itertools.count(1)

    async def put(
        message_id: str = "", *, conversation: str = "", priority: int = 5, user: str = "u", text: str = "hello"
    ) -> EnqueueResult:
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
