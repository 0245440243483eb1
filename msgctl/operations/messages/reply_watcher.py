"""Waiting for the reply to a message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from msgctl.domain.messages import Response, State
from msgctl.operations.context import Context, Operation
from msgctl.operations.messages.lookup import Messages
from msgctl.storage.redis.client import RedisClient, RedisSubscription
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.keys import CONVERSATION_CHANNEL, REPLIES

REPLY_POLL_INTERVAL_S = 1.0
"""Seconds after which the state is read even if nothing was published. Pub/Sub may lose a message, and a dead
letter is not published at all."""
ENDED_MESSAGE_STATES = (State.COMPLETED, State.FAILED)


class Replies(Operation):
    """Opens watchers for replies."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._messages = Messages(context)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator["ReplyWatcher"]:
        """Open a watcher, and close its connection at the end of the context.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        client = blocking_client(self._settings, max_block_s=REPLY_POLL_INTERVAL_S)
        subscription = client.pubsub()
        try:
            yield ReplyWatcher(self._redis, subscription, self._messages)
        finally:
            await subscription.aclose()
            await client.aclose()


class ReplyWatcher:
    """Waits for replies in any number of conversations, on one connection.

    Args:
        redis: reads the kept responses.
        subscription: receives what conversations publish.
        messages: reads the status of messages.
    """

    def __init__(self, redis: RedisClient, subscription: RedisSubscription, messages: Messages) -> None:
        self._redis = redis
        self._subscription = subscription
        self._messages = messages

    async def wait_for_outcome(self, conversation_id: str, message_id: str, *, deadline: float) -> dict[str, Any]:
        """Wait until a message ends, and return its status, with its `response` if it was answered.

        It subscribes before it reads the status, so that it misses no reply.

        Args:
            conversation_id: the conversation of the message.
            message_id: the id of the message.
            deadline: the time of the event loop at which it returns the status in any case.

        Raises:
            NotFound: there is no such message.
        """
        await self._subscription.subscribe(CONVERSATION_CHANNEL + conversation_id)
        while (status := await self._messages.status(message_id))["state"] not in ENDED_MESSAGE_STATES:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return status
            await self._subscription.get_message(
                ignore_subscribe_messages=True, timeout=min(REPLY_POLL_INTERVAL_S, left)
            )
        return status | await self._response(conversation_id, message_id)

    async def _response(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        """Return the kept response. It is among the newest of its conversation, because it was just committed."""
        kept = await self._redis.zrange(REPLIES + conversation_id, 0, 99, desc=True)
        responses = (msgspec.json.decode(entry, type=Response) for entry in kept)
        found = next((response for response in responses if response.message_id == message_id), None)
        return {"response": msgspec.to_builtins(found.response)} if found else {}
