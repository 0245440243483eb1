"""What was said in a conversation, from Redis; COMMIT writes it, together with the answer."""

import msgspec
from redis.asyncio import Redis

from msgctl import contracts
from msgctl.config import Settings
from msgctl.messages import Turn
from msgctl.redisdb import Batch, unavailable_as_error

_decoder = msgspec.json.Decoder(Turn)


class History:
    """The last turns of each conversation, oldest first, as many as `history.turns` says."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._batch = Batch(redis)
        self._settings = settings

    async def read(self, conversation_id: str) -> list[Turn]:
        """The turns of one conversation.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        turns = self._settings.history.turns
        if not turns:
            return []
        with unavailable_as_error(self._settings):
            stored = await self._batch.command("LRANGE", contracts.HISTORY + conversation_id, -turns, -1)
        return [_decoder.decode(turn) for turn in stored]
