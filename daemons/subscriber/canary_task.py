"""The task that runs the canary beside the deliveries."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgctl.agents.agents import Agents
from msgctl.aio import background
from msgctl.canary.canary import CanaryRunner
from msgctl.config.settings import Settings
from msgctl.domain.errors import MsgctlError
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.faults import REDIS_FAULTS

CANARY_POLL_INTERVAL_S = 1.0
"""Seconds between two checks whether the canary has arrived."""

log = logs.get_logger(__name__)


@contextlib.asynccontextmanager
async def canary_task(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Run the canary while the context lasts, unless `canary.interval` is 0."""
    if not settings.canary.interval:
        yield
        return
    async with Agents(settings) as agents, background(_run_canary(CanaryRunner(settings, redis, agents))):
        yield


async def _run_canary(canary: CanaryRunner) -> None:
    while True:
        try:
            await canary.advance()
        except (MsgctlError, *REDIS_FAULTS) as error:
            log.debug("Canary waits", error=str(error))
        await asyncio.sleep(CANARY_POLL_INTERVAL_S)
