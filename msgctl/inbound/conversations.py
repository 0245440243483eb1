"""The conversation of a customer who is known by several addresses, such as a phone number and a user id."""

from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

RESOLVE_CONVERSATION = Script.beside(__file__, "resolve_conversation")

ALIAS_MARGIN_S = 86_400.0
"""Seconds by which an alias outlives the last message: a late reply also extends the life of its conversation."""


class ConversationDirectory:
    """Keeps which addresses belong to one customer, for as long as their conversation lives.

    Args:
        redis: a client for short commands.
        settings: `history.ttl`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._ttl_ms = int((settings.history.ttl + ALIAS_MARGIN_S) * 1000)

    async def resolve(self, *conversation_ids: str) -> str:
        """Return the conversation of a customer, and let all addresses lead to it from now on.

        Args:
            conversation_ids: the id that is derived from each address, the preferred one first.
        """
        return str(await RESOLVE_CONVERSATION(self._redis, self._ttl_ms, *conversation_ids))
