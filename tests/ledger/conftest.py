"""The queue, the projector, and the archive of the test's own Redis and PostgreSQL."""

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
    """Return the queue."""
    return Queue(redis, settings)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Return PostgreSQL with the tables of msgctl."""
    async with Database(settings) as database:
        yield database


@pytest.fixture
def projector(redis: RedisClient, settings: Settings, database: Database) -> Projector:
    """Return a projector that copies the ledger when the test calls it."""
    return Projector(redis, settings, database)


@pytest.fixture
def archive(database: Database) -> LedgerArchive:
    """Return the ledger in PostgreSQL."""
    return LedgerArchive(database)
