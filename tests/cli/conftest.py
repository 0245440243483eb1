"""The real command line, run against the servers of the test."""

from pathlib import Path

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke, make_invoke
from tests.support.messages import Traffic


@pytest.fixture
def msgctl(settings: Settings, tmp_path: Path) -> Invoke:
    """Return a function that runs `msgctl ARGUMENTS` in an empty folder."""
    return make_invoke(settings, tmp_path)


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
