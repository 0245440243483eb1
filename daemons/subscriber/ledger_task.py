"""The projector beside a daemon's own work: batch after batch, and a rest when there is nothing to carry."""

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

PROJECTOR_IDLE_INTERVAL_S = 1.0
"""Seconds before the next look, unless there is a whole batch more to carry. A transaction for each event as it
comes is a third of a subscriber's CPU, and as much again in PostgreSQL."""
LEDGER_RETRY_INTERVAL_S = 5.0
"""Seconds before the next try when PostgreSQL or Redis does not answer."""

log = logs.get_logger(__name__)


@contextlib.asynccontextmanager
async def ledger_task(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Project for as long as the context lasts, unless `events.project` is off.

    Without PostgreSQL everything else goes on; the events wait in Redis.
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
    down = False
    while True:
        try:
            carried = await projector.project_batch()
            await projector.drop_expired()
        except (Unavailable, ConfigurationError) as problem:
            if not down:
                log.warning("The ledger waits in Redis", error=problem.message)
            down = True
            await asyncio.sleep(LEDGER_RETRY_INTERVAL_S)
            continue
        except Exception:  # a fault of ours must not end the deliveries beside it
            log.exception("The ledger cannot be carried on")
            await asyncio.sleep(LEDGER_RETRY_INTERVAL_S)
            continue
        if down:
            log.info("The ledger is carried on")
        down = False
        if carried < PROJECTION_READ_COUNT:
            await asyncio.sleep(PROJECTOR_IDLE_INTERVAL_S)
