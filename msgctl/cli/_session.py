"""What a command works with: settings, Redis, queue, agents, operations; opened once, closed at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import typer

from msgctl import logs, redisdb
from msgctl.agents import Agents
from msgctl.cli._context import context_of
from msgctl.config import Settings
from msgctl.intake import Intake
from msgctl.operations import Operations
from msgctl.rqueue import Queue

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """An open pipeline. Nothing is connected before it is used."""

    settings: Settings
    agents: Agents
    intake: Intake
    operations: Operations


def run(context: typer.Context, body: Callable[[Session], Awaitable[T]]) -> T:
    """Run the asynchronous body of a command; the one place where the command line enters asyncio.

    Args:
        context: of the command.
        body: what the command does.
    """
    state = context_of(context)
    return asyncio.run(_within_session(state.load(state.quiet), body))


async def _within_session(settings: Settings, body: Callable[[Session], Awaitable[T]]) -> T:
    logs.configure(settings, daemon="msgctl")
    logging.getLogger("psycopg").setLevel(settings.logs.level.upper())  # it sets a level of its own when imported
    async with open_session(settings) as session:
        return await body(session)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Session]:
    """A session, from within asyncio."""
    redis = redisdb.connect(settings)
    queue = Queue(redis, settings)
    try:
        async with Agents(settings) as agents:
            yield Session(settings, agents, Intake(queue, agents), Operations(settings, redis, queue))
    finally:
        await redis.aclose()
