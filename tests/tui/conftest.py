"""A dashboard on the Redis of the test, driven by keys and read as text."""

import pytest

from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import make_desk
from tests.support.messages import traffic

__all__ = ["traffic"]


@pytest.fixture
def desk(redis: RedisClient, settings: Settings) -> DashboardContext:
    """Return a context on the Redis of the test."""
    return make_desk(redis, settings)
