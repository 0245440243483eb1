"""The pipeline that an operation works on, and the base class of operations."""

from typing import Any, TypeVar

from msgctl.config.settings import Settings
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient

OperationT = TypeVar("OperationT", bound="Operation")


class Context:
    """The pipeline.

    Args:
        settings: limits of health, retention periods, and addresses.
        redis: a client of `storage.redis.connections.connect`.
        queue: a queue on the same client. One is created if it is None.
    """

    def __init__(self, settings: Settings, redis: RedisClient, queue: Queue | None = None) -> None:
        self.settings = settings
        self.redis = redis
        self.queue = queue or Queue(redis, settings)
        self._operations: dict[type[Operation], Any] = {}

    def get(self, operation: type[OperationT]) -> OperationT:
        """Return the operation of a class, for example `context.get(Overview)`.

        Each class has one instance per context, because some of them remember what they read last.
        """
        if operation not in self._operations:
            self._operations[operation] = operation(self)
        found: OperationT = self._operations[operation]
        return found


class Operation:
    """What an operator can ask of a running pipeline.

    Args:
        context: the pipeline.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis
        self._queue = context.queue
