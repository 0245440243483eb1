"""A queue of the test's own, and a projector onto the test's own PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from msgctl.config.settings import Settings
from msgctl.events.archive import Archive
from msgctl.events.projector import Projector
from msgctl.postgres.database import Database
from msgctl.redisdb.client import RedisClient
from msgctl.rqueue.queue import Queue


@pytest.fixture
def queue(redis: RedisClient, settings: Settings) -> Queue:
    """The queue."""
    return Queue(redis, settings)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """PostgreSQL with our tables."""
    async with Database(settings) as opened:
        yield opened


@pytest.fixture
def projector(redis: RedisClient, settings: Settings, database: Database) -> Projector:
    """Carries the ledger over when it is told to."""
    return Projector(redis, settings, database)


@pytest.fixture
def archive(database: Database) -> Archive:
    """What the projector wrote."""
    return Archive(database)
