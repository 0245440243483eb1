"""Replies as the worker's COMMIT leaves them, without a job around them."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgctl.domain.messages import Channel, Reply, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

USER = "chaos"
KEPT = 3600
"""Seconds a conversation is kept."""
COMMIT = """
local id = redis.call('XADD', KEYS[1], '*', 'kind', 'response', 'channel', ARGV[1], 'body', ARGV[2] .. '}')
redis.call('HSET', KEYS[2], 'user', ARGV[3], 'seq', ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2] .. ',"streamId":"' .. id .. '"}')
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[5])
"""


def name_of(conversation: int) -> str:
    """The id of a conversation by its number."""
    return f"c{conversation}"


class Replies:
    """Numbers and commits replies, spread over conversations in turn.

    Args:
        redis: where to.
        conversations: how many there are.
        channel: by which they go.
        user: whose they are.
    """

    def __init__(self, redis: RedisClient, conversations: int, channel: Channel, *, user: str = USER) -> None:
        self._redis = redis
        self._conversations = conversations
        self._channel = channel
        self._user = user

    async def commit(self, numbers: Iterable[int], *, sockets: Sequence[str] = (), text: str = "") -> None:
        """Put these replies into the stream, their conversations' kept replies and their counters.

        Args:
            numbers: of the replies, rising; reply k is in conversation k modulo their number.
            sockets: by conversation, the socket that its reply names; none: it names none.
            text: stands before the number, which is the reply otherwise.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for number in numbers:
            response = self._response(number, sockets, text)
            key_names = [keys.RESPONSES]
            key_names += [prefix + response.conversation_id for prefix in (keys.CONVERSATION, keys.REPLIES)]
            body = response.to_json().decode().removesuffix("}")
            pipeline.eval(
                COMMIT, len(key_names), *key_names, self._channel, body, self._user, response.seq or 0, KEPT
            )
        await pipeline.execute()

    def _response(self, number: int, sockets: Sequence[str], text: str) -> Response:
        conversation = number % self._conversations
        metadata: dict[str, Any] = {"chatId": conversation + 1} if self._channel is Channel.TELEGRAM else {}
        if sockets:
            metadata["websocketId"] = sockets[conversation]
        return Response(
            message_id=f"r{number}",
            conversation_id=name_of(conversation),
            agent_id="a",
            user_id=self._user,
            response=Reply(message=f"{text}r{number}"),
            channel=self._channel,
            channel_metadata=metadata,
            timestamp="2026-01-01T00:00:00.000Z",
            seq=number // self._conversations + 1,
        )
