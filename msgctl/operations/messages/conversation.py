"""What was said in a conversation, for an operator; a worker gets the same with its claim."""

import msgspec

from msgctl.domain.messages import Turn
from msgctl.operations.context import Context
from msgctl.storage.redis import keys

_turn_decoder = msgspec.json.Decoder(Turn)


class ConversationHistory:
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
        stored = await self._redis.lrange(keys.HISTORY + conversation_id, -turns, -1)
        return [_turn_decoder.decode(turn) for turn in stored]
