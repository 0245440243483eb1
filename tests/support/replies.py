"""Replies in Redis as COMMIT leaves them, without a job around them."""

import itertools
from typing import Any

import msgspec

from msgctl.domain.messages import Channel, Failure, Reply, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

NUMBERS = itertools.count(1)


def response(
    channel: Channel = Channel.WEB,
    metadata: dict[str, Any] | None = None,
    *,
    text: str = "Olá!",
    conversation: str = "c1",
    message_id: str = "",
    user: str | None = "ana",
) -> Response:
    """A response that has no number yet."""
    return Response(
        message_id=message_id or f"m{next(NUMBERS)}",
        conversation_id=conversation,
        agent_id="a1",
        response=Reply(message=text, tokens_used=7, model="gpt", finish_reason="stop"),
        channel=channel,
        channel_metadata=metadata or {},
        timestamp="2026-11-23T12:00:00Z",
        processing_time=1200,
        user_id=user,
    )


class Replies:
    """Writes what `commit.lua` and `dead_letter` of `msgctl/queue/lua` write.

    Args:
        redis: where to.
    """

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis

    async def commit(self, reply: Response) -> Response:
        """Give the next number of its conversation to a response and put it where subscribers find it."""
        key = keys.CONVERSATION + reply.conversation_id
        await self.redis.hset(key, "user", reply.user_id or "")
        seq = await self.redis.hincrby(key, "seq", 1)
        numbered = msgspec.structs.replace(reply, seq=seq)
        entry = await self.put(numbered)
        complete = msgspec.structs.replace(numbered, stream_id=entry)
        await self.redis.zadd(keys.REPLIES + reply.conversation_id, {complete.to_json(): seq})
        for channel in (
            keys.RESPONSE_CHANNEL + reply.channel,
            keys.CONVERSATION_CHANNEL + reply.conversation_id,
        ):
            await self.redis.publish(channel, complete.to_json())
        return complete

    async def put(self, event: Response | Failure) -> str:
        """Put an event into the stream alone; the id of its entry."""
        kind = "failure" if isinstance(event, Failure) else "response"
        entry: Any = await self.redis.xadd(
            keys.RESPONSES, {"kind": kind, "channel": event.channel, "body": event.to_json()}
        )
        return str(entry)

    async def bury(self, message_id: str, conversation: str, metadata: dict[str, Any] | None = None) -> None:
        """Tell of a dead letter of ana's."""
        failure = Failure(
            message_id=message_id,
            conversation_id=conversation,
            user_id="ana",
            channel=Channel.WEB,
            channel_metadata=metadata or {},
            code="n8n_timeout",
            timestamp="2026-11-23T12:00:00Z",
        )
        await self.put(failure)

    async def pending(self) -> int:
        """Entries that are delivered to a consumer and not acknowledged."""
        found = await self.redis.xpending(keys.RESPONSES, keys.RESPONSES_GROUP)
        return int(found["pending"])
