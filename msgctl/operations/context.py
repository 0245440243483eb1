"""The pipeline that an operation works on."""

from typing import Any, TypeVar

from msgctl.config.settings import Settings
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient

OperationT = TypeVar("OperationT")


class Context:
    """The one argument of every operation.

    Args:
        settings: limits of health, retention periods, and addresses.
        redis: a client of `storage.redis.connections.connect`.
        queue: a queue on the same client. One is created if it is None.
    """

    def __init__(self, settings: Settings, redis: RedisClient, queue: Queue | None = None) -> None:
        self.settings = settings
        self.redis = redis
        self.queue = queue or Queue(redis, settings)
        self._operations: dict[type[Any], Any] = {}

    def get(self, operation: type[OperationT]) -> OperationT:
        """Return the operation of a class, for example `context.get(Overview)`.

        Each class has one instance per context, because some of them remember what they read last.

        Args:
            operation: a class whose only argument is a context.
        """
        if operation not in self._operations:
            self._operations[operation] = operation(self)  # type: ignore[call-arg]  # the classes share no base
        found: OperationT = self._operations[operation]
        return found
