"""What providers tell of a message after it was sent: delivered, read, failed."""

from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

UPDATE_STATUS = Script.beside(__file__, "status_update")


class StatusUpdateWriter:
    """Writes such news into the record of the delivery.

    Args:
        redis: a client for short commands.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def write(self, message_id: str, provider_id: str, status: str, code: str, text: str) -> bool:
        """Take note; news may come twice, late, and in any order. False: there is no such delivery.

        Args:
            message_id: ours.
            provider_id: of the part.
            status: `sent`, `delivered`, `read` or `failed`.
            code: of a failure.
            text: what it means.
        """
        return bool(await UPDATE_STATUS(self._redis, message_id, provider_id, status, code, text))
