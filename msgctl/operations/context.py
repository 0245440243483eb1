"""The pipeline that an operation works on."""

from msgctl.config.settings import Settings
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient


class Context:
    """The one argument of every operation.

    Args:
        settings: limits of health, retention, addresses.
        redis: a client of `redisdb.connection.connect`.
        queue: on the same client; by default one is made.
    """

    def __init__(self, settings: Settings, redis: RedisClient, queue: Queue | None = None) -> None:
        self.settings = settings
        self.redis = redis
        self.queue = queue or Queue(redis, settings)
