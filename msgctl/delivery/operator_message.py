"""A text of the operator's, delivered as if an agent had replied: a test of a channel, a word to a customer."""

from collections.abc import Mapping
from typing import Any

from msgctl.domain.messages import Channel, Reply, Response
from msgctl.domain.timestamps import timestamp
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient


async def publish_operator_message(
    redis: RedisClient,
    text: str,
    *,
    message_id: str,
    conversation_id: str,
    channel: Channel,
    metadata: Mapping[str, Any],
    author: str,
) -> None:
    """Put a text into the stream of responses; it is delivered once, however often it is put there.

    Args:
        redis: a client for short commands.
        text: what is delivered.
        message_id: the id its record gets.
        conversation_id: it has no number there, so it waits for nothing and is no part of the history.
        channel: by which.
        metadata: where to.
        author: stands in the place of an agent's id.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    response = Response(
        message_id=message_id,
        conversation_id=conversation_id,
        agent_id=author,
        response=Reply(message=text),
        channel=channel,
        channel_metadata=dict(metadata),
        timestamp=timestamp(),
    )
    fields: Any = {"kind": "response", "channel": str(channel), "body": response.to_json()}
    await redis.xadd(keys.RESPONSES, fields)
