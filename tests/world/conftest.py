"""A gateway whose three webhooks are open, with a second bot and number of each provider."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from daemons.gateway.app import serve
from daemons.gateway.server import server
from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from tests.support.command_line import Invoke, make_invoke
from tests.support.gateway_clients import running
from tests.support.webhooks import APP_SECRET, PUBLIC, SECRET

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
    changes: dict[str, dict[str, Any]] = {
        "telegram": {"token": SecretStr("77:x 88:y"), "webhook_secret": SecretStr(SECRET), "agent": agent.id},
        "whatsapp": {"phone_number_id": "1065", "app_secret": SecretStr(APP_SECRET), "agent": agent.id},
        "twilio": {
            "account_sid": "AC1",
            "auth_token": SecretStr("twilio"),
            "sender": "+1415",
            "public_url": PUBLIC,
            "agent": agent.id,
        },
        "inbound": {
            "routes": [f"whatsapp:2077={ABSENT_AGENT}", f"telegram:88={agent.id}"],
            "unreadable": NOTICE,
        },
    }
    changed = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=changed)


@pytest.fixture
async def door(opened: Settings) -> AsyncIterator[str]:
    """The URL of a gateway with these settings."""
    async with running(serve, opened) as life:
        yield life.status.result().removeprefix("listening at ")
