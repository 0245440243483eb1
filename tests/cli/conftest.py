"""The real command line, run against the servers of the test."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke, Outcome, started
from tests.support.messages import Traffic
from tests.support.secret_scan import SEARCH
from tools.support.daemons import PATIENCE


@pytest.fixture
def msgctl(settings: Settings, tmp_path: Path) -> Invoke:
    """Return a function that runs `msgctl ARGUMENTS` in an empty folder."""

    async def invoke(*arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        async with started(settings, *arguments, folder=tmp_path, environ=environ) as process:
            stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        command = " ".join(("msgctl", *arguments[:2]))
        SEARCH.hear(command, stdout.decode(), shown=True)
        SEARCH.hear(f"{command} on standard error", stderr.decode())
        return Outcome(process.returncode, stdout.decode(), stderr.decode())

    return invoke


@pytest.fixture
def traffic(redis: RedisClient, settings: Settings, agent_id: str) -> Traffic:
    """Return a `Traffic` whose messages go to an agent that exists."""
    found = Traffic(redis, settings)
    found.agent_id = agent_id
    return found


@pytest.fixture
async def agent_id(settings: Settings) -> str:
    """Add an agent that belongs to the user ana, and return its id."""
    async with Agents(settings) as store:
        return (await store.add(user_id="ana", name="Support", webhook_path="chat")).id
