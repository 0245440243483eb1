"""Operations on the test's own Redis."""

import pytest
from redis.asyncio import Redis

from msgctl.config import Settings
from msgctl.operations import Operations
from msgctl.rqueue import Queue
from tests.traffic import traffic

__all__ = ["operations", "traffic"]


@pytest.fixture
def operations(redis: Redis, settings: Settings) -> Operations:
    """What is under test."""
    return Operations(settings, redis, Queue(redis, settings))
