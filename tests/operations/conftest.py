"""Operations on the test's own Redis."""

import pytest

from msgctl.config.settings import Settings
from msgctl.operations.entrance import Operations
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import traffic

__all__ = ["operations", "traffic"]


@pytest.fixture
def operations(redis: RedisClient, settings: Settings) -> Operations:
    """What is under test."""
    return Operations(settings, redis, Queue(redis, settings))
