"""The projector beside a daemon's own work: batch after batch, and a rest when there is nothing to carry."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.errors import ConfigurationError, Unavailable
from msgctl.events.projector import BATCH, Projector
from msgctl.postgres.database import Database
from msgctl.redisdb.client import RedisClient
from msgctl.tasks import background

REST = 1.0
"""Seconds before the next look, unless there is a whole batch more to carry. A transaction for each event as it
comes is a third of a subscriber's CPU, and as much again in PostgreSQL."""
OUTAGE_PAUSE = 5.0
"""Seconds before the next try when PostgreSQL or Redis does not answer."""

log = logs.get(__name__)


@contextlib.asynccontextmanager
async def projecting(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Project for as long as the context lasts, unless `events.project` is off.

    Without PostgreSQL everything else goes on; the events wait in Redis.
    """
    if not settings.events.project:
        yield
        return
    async with (
        Database(settings) as database,
        background(_project_for_ever(Projector(redis, settings, database))),
    ):
        yield


async def _project_for_ever(projector: Projector) -> None:
    down = False
    while True:
        try:
            carried = await projector.project()
            await projector.clean()
        except (Unavailable, ConfigurationError) as problem:
            if not down:
                log.warning("The ledger waits in Redis", error=problem.message)
            down = True
            await asyncio.sleep(OUTAGE_PAUSE)
            continue
        except Exception:  # a fault of ours must not end the deliveries beside it
            log.exception("The ledger cannot be carried on")
            await asyncio.sleep(OUTAGE_PAUSE)
            continue
        if down:
            log.info("The ledger is carried on")
        down = False
        if carried < BATCH:
            await asyncio.sleep(REST)
