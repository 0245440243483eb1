"""What a command works with: settings, Redis, queue, agents, operations; opened once, closed at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import typer

from msgctl import logs
from msgctl.cli._context import context_of
from msgctl.config.settings import Settings
from msgctl.config.sources import DEFAULT_FILES, Loaded
from msgctl.errors import RedisUnavailable
from msgctl.operations.entrance import Operations
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import connect
from msgctl.rqueue.queue import Queue

if TYPE_CHECKING:
    from msgctl.agents.store import Agents
    from msgctl.intake import Intake

T = TypeVar("T")

ADDRESS = {("redis", "host"), ("redis", "port"), ("redis", "sentinels")}
"""The settings that say which Redis."""


class Session:
    """An open pipeline. Nothing is connected before it is used.

    Args:
        settings: of the invocation.
        redis: a client of `redisdb.connect`.
        stack: closes what is opened.
    """

    def __init__(self, settings: Settings, redis: RedisClient, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.operations = Operations(settings, redis, Queue(redis, settings))
        self._stack = stack

    @cached_property
    def agents(self) -> "Agents":
        """Agents in PostgreSQL."""
        from msgctl.agents.store import Agents  # noqa: PLC0415 - psycopg takes 0.1 s, and few commands need an agent

        agents = Agents(self.settings)
        self._stack.push_async_exit(agents)
        return agents

    @cached_property
    def intake(self) -> "Intake":
        """Where messages are accepted."""
        from msgctl.intake import Intake  # noqa: PLC0415 - few commands send anything

        return Intake(self.operations.queue, self.agents)


def run(context: typer.Context, body: Callable[[Session], Awaitable[T]]) -> T:
    """Run the asynchronous body of a command; the one place where the command line enters asyncio.

    Args:
        context: of the command.
        body: what the command does.
    """
    state = context_of(context)
    loaded = state.load_with_origins(state.quiet)
    try:
        return asyncio.run(_within_session(loaded.settings, body))
    except RedisUnavailable as error:
        raise RedisUnavailable(f"{where_it_was_looked(loaded)}{error.message}") from error


def where_it_was_looked(loaded: Loaded) -> str:
    """A sentence, if nothing said which Redis: one that does not answer is likely not the one that is meant.

    Args:
        loaded: the settings, and where they came from.
    """
    if loaded.path or ADDRESS & loaded.origins.keys():
        return ""
    places = " or ".join(str(file) if file.is_absolute() else f"./{file}" for file in DEFAULT_FILES)
    return f"No configuration file was found at {places}: set MSGCTL_CONFIG, or say --config. "


async def _within_session(settings: Settings, body: Callable[[Session], Awaitable[T]]) -> T:
    logs.configure(settings, daemon="")
    logging.getLogger("psycopg").setLevel(settings.logs.level.upper())  # it sets a level of its own when imported
    async with open_session(settings) as session:
        return await body(session)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Session]:
    """A session, from within asyncio."""
    redis = connect(settings)
    try:
        async with AsyncExitStack() as stack:
            yield Session(settings, redis, stack)
    finally:
        await redis.aclose()
