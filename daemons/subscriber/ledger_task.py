"""The task that copies the ledger to PostgreSQL in batches, beside the deliveries."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.ledger.projector import PROJECTION_READ_COUNT, Projector
from msgctl.observability import logs
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS

PROJECTOR_IDLE_INTERVAL_S = 1.0
"""Seconds before the next batch, unless the last one was full. One transaction for each event takes a third of a
subscriber's CPU, and as much again in PostgreSQL."""
LEDGER_RETRY_INTERVAL_S = 5.0
"""Seconds before the next attempt when PostgreSQL or Redis does not answer."""

log = logs.get_logger(__name__)


@contextlib.asynccontextmanager
async def ledger_task(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Run the projector while the context lasts, unless `events.project` is off.

    Without PostgreSQL the deliveries continue, and the events wait in Redis.
    """
    if not settings.events.project:
        yield
        return
    async with (
        Database(settings) as database,
        background(_run_projector(Projector(redis, settings, database))),
    ):
        yield


async def _run_projector(projector: Projector) -> None:
    is_down = False
    while True:
        try:
            projected = await projector.project_batch()
            await projector.drop_expired()
        except (Unavailable, ConfigurationError, *REDIS_FAULTS) as error:
            if not is_down:
                log.warning("Ledger waits in Redis", error=str(error))
            is_down = True
            await asyncio.sleep(LEDGER_RETRY_INTERVAL_S)
            continue
        except Exception:  # a bug here must not end the deliveries
            log.exception("Projector failed")
            await asyncio.sleep(LEDGER_RETRY_INTERVAL_S)
            continue
        if is_down:
            log.info("Projector resumed")
        is_down = False
        if projected < PROJECTION_READ_COUNT:
            await asyncio.sleep(PROJECTOR_IDLE_INTERVAL_S)
