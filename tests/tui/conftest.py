"""A dashboard on the test's own Redis, driven by keys and looked at as text."""

import pytest

from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.context import DashboardContext
from tests.support.dashboard import make_desk
from tests.support.messages import traffic

__all__ = ["traffic"]


@pytest.fixture
def desk(redis: RedisClient, settings: Settings) -> DashboardContext:
    """On the test's own Redis."""
    return make_desk(redis, settings)
