"""A queue of the test's own, and a projector onto the test's own PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from msgctl.config.settings import Settings
from msgctl.ledger.archive import LedgerArchive
from msgctl.ledger.projector import Projector
from msgctl.queue.queue import Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis.client import RedisClient


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
def archive(database: Database) -> LedgerArchive:
    """What the projector wrote."""
    return LedgerArchive(database)
