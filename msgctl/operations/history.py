"""What was said in a conversation, for an operator; a worker gets the same with its claim."""

import msgspec

from msgctl import contracts
from msgctl.messages import Turn
from msgctl.operations.context import Context

_decoder = msgspec.json.Decoder(Turn)


class History:
    """The last turns of each conversation, oldest first, as many as `history.turns` says.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis

    async def read(self, conversation_id: str) -> list[Turn]:
        """The turns of one conversation.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        turns = self._settings.history.turns
        if not turns:
            return []
        stored = await self._redis.lrange(contracts.HISTORY + conversation_id, -turns, -1)
        return [_decoder.decode(turn) for turn in stored]
