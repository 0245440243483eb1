"""A dashboard on the test's own Redis, driven by keys and looked at as text."""

import pytest

from msgctl.config.settings import Settings
from msgctl.redisdb.client import RedisClient
from msgctl.tui.desk import Desk
from tests.support.dashboard import make_desk
from tests.support.messages import traffic

__all__ = ["traffic"]


@pytest.fixture
def desk(redis: RedisClient, settings: Settings) -> Desk:
    """On the test's own Redis."""
    return make_desk(redis, settings)
