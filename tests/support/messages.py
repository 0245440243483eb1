"""Messages in every state, made by the queue's own scripts, for tests of what looks at them."""

from collections.abc import Awaitable, Callable

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.messages import Failure, Message, Reply, Turn, UnnumberedResponse
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import CommitResult, LeaseClient, LeasedMessage
from msgctl.queue.queue import EnqueueResult, Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

ERROR = b'{"class":"final","code":"n8n_rejected","text":"n8n answered 400.","at":"2026-01-01T00:00:01.000Z"}'


class Traffic:
    """Puts messages into the queue and works them, as worker `w1`.

    Args:
        redis: the test's client.
        settings: the test's settings.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self.queue = Queue(redis, settings)
        self.claims = LeaseClient(redis, settings, "w1")
        self.agent_id = "a"
        self._redis = redis

    async def waiting(
        self, message_id: str, *, user: str = "ana", conversation: str = "", agent: str = ""
    ) -> None:
        """A message that waits."""
        message = Message(
            message_id=message_id,
            conversation_id=conversation or f"of-{message_id}",
            agent_id=agent or self.agent_id,
            user_id=user,
            message="hello",
            timestamp="2026-01-01T00:00:00.000Z",
        )
        await self.queue.enqueue(message, digest=message.digest())

    async def active(self, message_id: str, *, user: str = "ana") -> LeasedMessage:
        """A message that is being worked; nothing else may wait."""
        await self.waiting(message_id, user=user)
        (claimed,) = await self.claims.claim(1)
        return claimed

    async def completed(self, message_id: str, text: str = "an answer") -> None:
        """A message that was answered."""
        assert await commit(self.claims, await self.active(message_id), text)

    async def failed(self, *message_ids: str) -> None:
        """Dead letters."""
        for message_id in message_ids:
            await self.fail(await self.active(message_id))

    async def fail(self, claimed: LeasedMessage, error: bytes = ERROR) -> None:
        """End what is being worked as a dead letter."""
        assert await self.claims.fail(claimed, GiveUp(), error=error, record=error, failure=failure(claimed))

    async def staffed(self) -> None:
        """A worker and a subscriber that are alive."""
        await self.claims.heartbeat([], "idle")
        seconds, _ = await self._redis.time()
        await self._redis.hset(keys.SUBSCRIBERS, "s1", str(seconds * 1000))


@pytest.fixture
def traffic(redis: RedisClient, settings: Settings) -> Traffic:
    """Messages in every state, in the test's own Redis."""
    return Traffic(redis, settings)


Enqueue = Callable[..., Awaitable[EnqueueResult]]


def draft(claimed: LeasedMessage, text: str = "an answer") -> UnnumberedResponse:
    """A response to a claimed message."""
    message = claimed.message
    return UnnumberedResponse(
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


async def commit(claims: LeaseClient, claimed: LeasedMessage, text: str = "an answer") -> CommitResult | None:
    """Answer a claimed message."""
    response = draft(claimed, text)
    turns = (
        Turn(role="user", content=claimed.message.message, timestamp=claimed.message.timestamp),
        Turn(role="assistant", content=text, timestamp=response.timestamp),
    )
    return await claims.commit(claimed, response, turns)


def failure(claimed: LeasedMessage) -> Failure:
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
