"""The canary beside a daemon's own work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgctl import logs
from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.errors import MsgctlError
from msgctl.operations.canary import Canary
from msgctl.redisdb.client import RedisClient
from msgctl.tasks import background

INTERVAL = 1.0
"""Seconds between two looks whether it has arrived."""

log = logs.get(__name__)


@contextlib.asynccontextmanager
async def singing(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Keep a canary for as long as the context lasts, unless `canary.interval` is 0."""
    if not settings.canary.interval:
        yield
        return
    async with Agents(settings) as agents, background(_look_for_ever(Canary(settings, redis, agents))):
        yield


async def _look_for_ever(canary: Canary) -> None:
    while True:
        try:
            await canary.look()
        except MsgctlError as problem:
            log.debug("The canary waits", error=problem.message)
        await asyncio.sleep(INTERVAL)
