"""What providers tell of a message after it was sent: delivered, read, failed."""

from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

RECEIPT = Script.beside(__file__, "status_update")


class Receipts:
    """Writes such news into the record of the delivery.

    Args:
        redis: a client for short commands.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def note(self, message_id: str, provider_id: str, status: str, code: str, text: str) -> bool:
        """Take note; news may come twice, late, and in any order. False: there is no such delivery.

        Args:
            message_id: ours.
            provider_id: of the part.
            status: `sent`, `delivered`, `read` or `failed`.
            code: of a failure.
            text: what it means.
        """
        return bool(await RECEIPT(self._redis, message_id, provider_id, status, code, text))
