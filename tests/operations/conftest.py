"""Fixtures for operations on the Redis of the test."""

import pytest

from msgctl.config.settings import Settings
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import traffic

__all__ = ["context", "traffic"]


@pytest.fixture
def context(redis: RedisClient, settings: Settings) -> Context:
    """A context on the Redis of the test."""
    return Context(settings, redis, Queue(redis, settings))
