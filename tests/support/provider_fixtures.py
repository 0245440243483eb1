"""The fixtures of tests that deliver: strict local providers, settings that name them, and replies to commit."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis as sync_redis

from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.storage.redis.client import RedisClient
from tests.support.provider_settings import provider_settings
from tests.support.providers import Providers
from tests.support.replies import Replies
from tests.support.secret_scan import SEARCH

DATABASE = 8


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    """Strict providers on a free port that have been asked nothing yet."""
    async with Providers() as providers:
        yield providers


@pytest.fixture
def settings(valkey: ValkeyServer, providers: Providers) -> Iterator[Settings]:
    """An empty Redis database, every channel set up against the local providers, short pauses."""
    with sync_redis.Redis.from_url(valkey.url(DATABASE)) as client:
        client.flushdb()
    yield provider_settings(valkey, providers, DATABASE)
    with sync_redis.Redis.from_url(
        valkey.url(DATABASE), decode_responses=True, encoding_errors="replace"
    ) as client:
        SEARCH.learn(client)


@pytest.fixture
def replies(redis: RedisClient) -> Replies:
    """Commits replies as the worker does."""
    return Replies(redis)
