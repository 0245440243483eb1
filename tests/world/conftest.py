"""A gateway whose three webhooks are open, with a second bot and number of each provider."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemons.gateway.app import serve
from daemons.gateway.server import server
from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from tests.support.command_line import Invoke, make_invoke
from tests.support.gateway_clients import running
from tests.support.webhooks import open_webhooks

NOTICE = "Sorry, I can only read text."
ABSENT_AGENT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(autouse=True)
def _end_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway in this process ends at once; one that is taken over from is a process of its own."""
    monkeypatch.setattr(server, "ACCEPT_GRACE_S", 0.0)


@pytest.fixture
async def agent(settings: Settings) -> Agent:
    """The agent that answers on the first bot and number of each provider."""
    async with Agents(settings) as agents:
        return await agents.add(user_id="ana", name="Ana's agent", webhook_path="chat")


@pytest.fixture
def msgctl(settings: Settings, tmp_path: Path) -> Invoke:
    """Runs `msgctl ARGUMENTS` in an empty folder."""
    return make_invoke(settings, tmp_path)


@pytest.fixture
def opened(settings: Settings, agent: Agent) -> Settings:
    """All webhooks open. The second numbers 2077 and +14155550199 lead to an agent that does not exist."""
    routes = [f"whatsapp:2077={ABSENT_AGENT}", f"telegram:88={agent.id}"]
    return open_webhooks(settings, agent, routes=routes, unreadable=NOTICE)


@pytest.fixture
async def door(opened: Settings) -> AsyncIterator[str]:
    """The URL of a gateway with these settings."""
    async with running(serve, opened) as life:
        yield life.status.result().removeprefix("listening at ")
