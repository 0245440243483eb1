"""The session of a command: settings, Redis, queue, agents, and operations."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.config.settings import Settings
from msgctl.config.sources import DEFAULT_FILES, LoadedSettings
from msgctl.domain.errors import RedisUnavailable
from msgctl.observability import logs
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect

if TYPE_CHECKING:
    from msgctl.agents.agents import Agents
    from msgctl.intake.accept import Intake

T = TypeVar("T")

REDIS_ADDRESS_SETTINGS = {("redis", "host"), ("redis", "port"), ("redis", "sentinels")}
"""The settings that name the Redis server."""


class CommandSession:
    """The resources of one command. Each connects on first use.

    Args:
        settings: the settings of the invocation.
        redis: a client from `storage.redis.connections.connect`.
        stack: closes the resources that are opened.
    """

    def __init__(self, settings: Settings, redis: RedisClient, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.context = Context(settings, redis, Queue(redis, settings))
        self._stack = stack

    @cached_property
    def agents(self) -> "Agents":
        """The agents in PostgreSQL."""
        from msgctl.agents.agents import Agents  # noqa: PLC0415 - psycopg takes 0.1 s, and few commands need it

        agents = Agents(self.settings)
        self._stack.push_async_exit(agents)
        return agents

    @cached_property
    def intake(self) -> "Intake":
        """Accepts messages."""
        from msgctl.intake.accept import Intake  # noqa: PLC0415 - few commands send messages

        return Intake(self.context.queue, self.agents)


def run_with_session(context: typer.Context, body: Callable[[CommandSession], Awaitable[T]]) -> T:
    """Run the asynchronous body of a command.

    Args:
        context: the Typer context of the command.
        body: gets the open session.
    """
    state = global_options_of(context)
    loaded = state.load_with_origins(state.log_overrides)
    try:
        return asyncio.run(_within_session(loaded.settings, body))
    except RedisUnavailable as error:
        raise RedisUnavailable(f"{missing_config_hint(loaded)}{error.message}") from error


def missing_config_hint(loaded: LoadedSettings) -> str:
    """Return a sentence for errors of Redis if no setting names the server, else an empty text.

    Args:
        loaded: the settings with their origins.
    """
    if loaded.path or REDIS_ADDRESS_SETTINGS & loaded.origins.keys():
        return ""
    places = " or ".join(str(file) if file.is_absolute() else f"./{file}" for file in DEFAULT_FILES)
    return f"No configuration file was found at {places}. Set MSGCTL_CONFIG, or give --config. "


async def _within_session(settings: Settings, body: Callable[[CommandSession], Awaitable[T]]) -> T:
    logs.configure(settings, daemon="")
    logging.getLogger("psycopg").setLevel(settings.logs.level.upper())  # importing it resets its level
    async with open_session(settings) as session:
        return await body(session)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[CommandSession]:
    """Open a session from asynchronous code."""
    redis = connect(settings)
    try:
        async with AsyncExitStack() as stack:
            yield CommandSession(settings, redis, stack)
    finally:
        await redis.aclose()
