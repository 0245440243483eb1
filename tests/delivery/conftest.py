"""What the tests of delivery share: settings that name strict local providers, and the means to commit replies."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis as sync_redis

from msgctl.config.settings import Settings
from msgctl.http.client import HttpClient
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Providers
from tests.support.replies import Replies
from tests.support.secret_scan import SEARCH

DATABASE = 8
SECRET = "whsec_bXNnY3RsIHRlc3RzIGNhbGxiYWNrIHNlY3JldCE="


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
    yield Settings.model_validate(
        {
            "redis": {
                "host": "127.0.0.1",
                "port": valkey.port,
                "password": valkey.password,
                "database": DATABASE,
            },
            "retry": {"base": 0.05, "cap": 0.2},
            "delivery": {"attempts": 3, "timeout": 10, "takeover": 2},
            "whatsapp": {
                "base_url": providers.url,
                "phone_number_id": "1065",
                "token": "meta-token",
                "unknown": "keep",
            },
            "twilio": {
                "base_url": providers.url,
                "account_sid": "AC1",
                "auth_token": "twilio-token",
                "sender": "+14155238886",
                "unknown": "keep",
            },
            "telegram": {
                "base_url": providers.url,
                "token": "123456:AAF-secret_of_the_bot",
                "chat_rate": 1000,
                "rate": 1000,
                "unknown": "keep",
            },
            "callback": {"secret": SECRET, "allowed_hosts": [providers.host], "schedule": [0, 0.1, 0.2]},
        }
    )
    with sync_redis.Redis.from_url(
        valkey.url(DATABASE), decode_responses=True, encoding_errors="replace"
    ) as client:
        SEARCH.learn(client)


@pytest.fixture
async def poster(settings: Settings) -> AsyncIterator[HttpClient]:
    """Calls the local providers."""
    async with HttpClient(settings) as poster:
        yield poster


@pytest.fixture
def replies(redis: RedisClient) -> Replies:
    """Commits replies as the worker does."""
    return Replies(redis)
