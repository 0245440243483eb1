"""What the daemons write: each line of a message carries its ids, and no line carries a secret."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect

from msgctl.agents import Agents
from msgctl.config import Settings
from msgctl.stack.n8n import Behaviour, N8nStandIn
from msgctl.stack.recorder import Fault, Recorder
from msgctl.tokens import issue
from tests.processes import Daemon, until
from tests.secrecy import BOT_TOKEN, CLOUD_TOKEN
from tests.traffic import Traffic, traffic

__all__ = ["traffic"]

PHONE = "+5511987654321"
TEXT = "a customer's most private words"


@pytest.fixture
async def planted(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings full of secrets, with providers that refuse everything, and every line written to files."""
    async with Recorder() as recorder:
        recorder.faults = {"telegram": Fault(400), "whatsapp": Fault(400)}
        yield _planted(settings, tmp_path, recorder.url)


def _planted(settings: Settings, tmp_path: Path, providers: str) -> Settings:
    changes: dict[str, dict[str, Any]] = {
        "telegram": {"token": SecretStr(BOT_TOKEN), "base_url": providers},
        "whatsapp": {"token": SecretStr(CLOUD_TOKEN), "phone_number_id": "1", "base_url": providers},
        "logs": {"level": "debug", "format": "json", "directory": str(tmp_path)},
        "delivery": {"attempts": 1},
        "retry": {"base": 0.1, "attempts": 2},
    }
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=fields) for name, fields in changes.items()}
    )


@pytest.fixture
async def agent(settings: Settings) -> str:
    """The id of an agent of ana's."""
    async with Agents(settings) as agents:
        return (await agents.add(user_id="ana", name="Ana", webhook_path="chat")).id


@pytest.fixture
async def gateway(planted: Settings) -> AsyncIterator[Daemon]:
    """A gateway among a worker and a subscriber."""
    async with AsyncExitStack() as stack:
        for name in ("worker", "subscriber"):
            await stack.enter_async_context(Daemon(name, planted))
        yield await stack.enter_async_context(Daemon("gateway", planted))


def lines(folder: Path, name: str = "combined.log") -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


async def test_no_secret_reaches_a_log(
    gateway: Daemon, planted: Settings, agent: str, n8n: N8nStandIn, tmp_path: Path
) -> None:
    """Tokens, bot URLs, phone numbers and texts go through every process, fail there, and are in no line."""
    token = issue(planted, "ana", 600)
    address = gateway.status.rpartition("http://")[2]
    bodies: list[dict[str, Any]] = [
        {"channel": "telegram", "channelMetadata": {"chatId": 4711}},
        {"channel": "whatsapp", "channelMetadata": {"to": PHONE}},
        {"channel": "api", "channelMetadata": {"callbackUrl": f"https://127.0.0.1:9/?token={BOT_TOKEN}"}},
        {"channel": "web"},
    ]
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for body in bodies:
            post = {**body, "agentId": agent, "message": TEXT}
            async with http.post(f"http://{address}/api/messages", json=post) as answer:
                assert answer.status == 202
        async with http.post(f"http://{address}/api/messages", data=f'{{"message": "{TEXT}"') as answer:
            assert answer.status in {400, 415}
    async with connect(f"ws://{address}/ws/chat?token={token}") as socket:
        await socket.send(json.dumps({"type": "message", "data": {"agentId": agent, "content": TEXT}}))
        while json.loads(await socket.recv())["type"] != "message":
            pass
        await socket.send(TEXT)

    def ended() -> bool:
        return [line["event"] for line in lines(tmp_path)].count("Delivery failed") == 3

    await until(ended, "three deliveries to fail")
    written = gateway.output + "".join(map(str, lines(tmp_path) + lines(tmp_path, "error.log")))
    assert "Message completed" in written
    for secret in (
        BOT_TOKEN,
        CLOUD_TOKEN,
        PHONE,
        PHONE[1:],
        TEXT,
        token,
        planted.auth.jwt_secret.get_secret_value(),
    ):
        assert secret not in written


async def test_every_line_of_a_message_carries_its_ids(
    gateway: Daemon, traffic: Traffic, agent: str, n8n: N8nStandIn, tmp_path: Path
) -> None:
    """Message, conversation, step and attempt are bound to each line; errors have a file of their own."""
    n8n.reset(Behaviour(mode="500"))
    await traffic.waiting("m", conversation="c", agent=agent)
    await until(lambda: any("Job failed" in line["event"] for line in lines(tmp_path)), "the message to fail")
    told = [line for line in lines(tmp_path) if line.get("messageId") == "m" and line["daemon"] == "worker"]
    assert {line["event"] for line in told} >= {"Finding the agent", "Calling n8n", "Attempt failed", "Job failed"}
    assert {line["conversationId"] for line in told} == {"c"}
    assert [line["attempt"] for line in told if line["event"] == "Calling n8n"] == [1, 2]
    assert {line["step"] for line in told} == {"agent", "history", "payload", "n8n"}
    assert {line["event"] for line in lines(tmp_path, "error.log")} == {"Job failed"}
