"""Waiting for the agent's reply to a message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from msgctl.domain.messages import Response, State
from msgctl.operations.context import Context
from msgctl.operations.messages.lookup import Messages
from msgctl.storage.redis.client import RedisClient, RedisSubscription
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.keys import CONVERSATION_CHANNEL, REPLIES

REPLY_POLL_INTERVAL_S = 1.0
"""Seconds after which the state is looked at even if nothing was published: Pub/Sub may lose a word, and a
message that ends in the dead letters is not published at all."""
ENDED_MESSAGE_STATES = (State.COMPLETED, State.FAILED)


class Replies:
    """Watches conversations.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis
        self._messages = Messages(context)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator["ReplyWatcher"]:
        """An ear for replies.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        client = blocking_client(self._settings, max_block_s=REPLY_POLL_INTERVAL_S)
        listener = client.pubsub()
        try:
            yield ReplyWatcher(self._redis, listener, self._messages)
        finally:
            await listener.aclose()
            await client.aclose()


class ReplyWatcher:
    """An ear for replies in as many conversations as are asked for."""

    def __init__(self, redis: RedisClient, listener: RedisSubscription, messages: Messages) -> None:
        self._redis = redis
        self._pubsub = listener
        self._messages = messages

    async def wait_for_outcome(self, conversation_id: str, message_id: str, *, deadline: float) -> dict[str, Any]:
        """The status of a message once it is over, or at the deadline; with its `response` if it was answered.

        It listens first and looks then, so that a reply which is already there is seen, and a later one heard.

        Args:
            conversation_id: where the message is.
            message_id: the message.
            deadline: in the event loop's time.

        Raises:
            NotFound: there is no such message.
        """
        await self._pubsub.subscribe(CONVERSATION_CHANNEL + conversation_id)
        while (status := await self._messages.status(message_id))["state"] not in ENDED_MESSAGE_STATES:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return status
            await self._pubsub.get_message(
                ignore_subscribe_messages=True, timeout=min(REPLY_POLL_INTERVAL_S, left)
            )
        return status | await self._response(conversation_id, message_id)

    async def _response(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        """The kept response; the newest of its conversation are looked at, since it came just now."""
        kept = await self._redis.zrange(REPLIES + conversation_id, 0, 99, desc=True)
        responses = (msgspec.json.decode(entry, type=Response) for entry in kept)
        found = next((response for response in responses if response.message_id == message_id), None)
        return {"response": msgspec.to_builtins(found.response)} if found else {}
