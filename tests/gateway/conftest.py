"""A whole gateway on a free port, in this process, and clients for it."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from daemons.gateway.app import serve
from daemons.gateway.server import server
from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Client, Pipeline, running


@pytest.fixture(autouse=True)
def _no_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway in this process ends at once; one that is taken over from is a process of its own."""
    monkeypatch.setattr(server, "ACCEPT_GRACE_S", 0.0)


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[str]:
    """The URL of a gateway."""
    async with running(serve, settings) as life:
        yield life.status.result().removeprefix("listening at ")


@pytest.fixture
async def client_of(gateway: str, settings: Settings) -> AsyncIterator[Callable[[str], Client]]:
    """Makes a client for a user."""
    async with aiohttp.ClientSession() as http:
        yield lambda user_id: Client(gateway, settings, user_id, http)


@pytest.fixture
def client(client_of: Callable[[str], Client]) -> Client:
    """The client of user `ana`."""
    return client_of("ana")


@pytest.fixture
async def agent(settings: Settings) -> Agent:
    """An agent of user `ana`."""
    async with Agents(settings) as agents:
        return await agents.add(user_id="ana", name="Ana's agent", webhook_path="chat")


@pytest.fixture
async def pipeline(redis: RedisClient, settings: Settings) -> Pipeline:
    """What is behind the gateway; the test says when it answers."""
    return Pipeline(redis, settings)
