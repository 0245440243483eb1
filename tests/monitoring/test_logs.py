"""What the daemons write: each line of a message carries its ids, and no line carries a secret."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect

from msgctl.agents.agents import Agents
from msgctl.auth.tokens import issue
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.local.fakes.providers import FakeProviders, ProviderFault
from msgctl.local.supervisor import ports
from msgctl.observability.logs import redact_text
from tests.support.messages import Traffic, traffic
from tests.support.secret_scan import API_KEY, BOT_TOKEN, CALLBACK_SECRET, CLOUD_TOKEN, JWT_SECRET, SEARCH
from tools.support.daemons import Daemon, until

__all__ = ["traffic"]

PHONE = "+5511987654321"
TEXT = "a customer's most private words"


@pytest.fixture
async def planted(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings full of secrets, with providers that refuse everything, and every line written to files."""
    async with FakeProviders() as recorder:
        recorder.faults = {"telegram": ProviderFault(400), "whatsapp": ProviderFault(400)}
        yield _planted(settings, tmp_path, recorder.url)


@pytest.fixture
def unreachable(settings: Settings, tmp_path: Path) -> Settings:
    """The same secrets, and providers at an address where nobody listens."""
    planted = _planted(settings, tmp_path, f"http://127.0.0.1:{ports.free_port()}")
    return planted.model_copy(update={"delivery": settings.delivery})


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


@asynccontextmanager
async def fleet(settings: Settings) -> AsyncIterator[Daemon]:
    """A gateway among a worker and a subscriber."""
    async with AsyncExitStack() as stack:
        for name in ("worker", "subscriber"):
            await stack.enter_async_context(Daemon(name, settings))
        yield await stack.enter_async_context(Daemon("gateway", settings))


@pytest.fixture
async def gateway(planted: Settings) -> AsyncIterator[Daemon]:
    """One whose providers refuse everything."""
    async with fleet(planted) as daemon:
        yield daemon


def lines(folder: Path, name: str = "combined.log") -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


async def send_everywhere(settings: Settings, gateway: Daemon, agent: str) -> str:
    """A message to each channel, all of them full of what no log may hold; the token that they were sent with."""
    token = issue(settings, "ana", 600)
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
            SEARCH.hear("a refusal", await answer.text())
    async with connect(f"ws://{address}/ws/chat?token={token}") as socket:
        await socket.send(json.dumps({"type": "message", "data": {"agentId": agent, "content": TEXT}}))
        while json.loads(await socket.recv())["type"] != "message":
            pass
        await socket.send(TEXT)
    return token


async def delivered_in_vain(folder: Path) -> list[dict[str, Any]]:
    """The lines that tell of failed deliveries, once there is one from each channel but web."""

    def failed() -> list[dict[str, Any]]:
        return [line for line in lines(folder) if line["event"] == "Delivery failed"]

    await until(
        lambda: {line["channel"] for line in failed()} == {"telegram", "whatsapp", "api"}, "three failures"
    )
    return failed()


def assert_secret(folder: Path, gateway: Daemon, token: str) -> None:
    """No secret is in any line of any process."""
    written = gateway.output + "".join(map(str, lines(folder) + lines(folder, "error.log")))
    SEARCH.hear("combined.log and error.log", written)
    assert "Message completed" in written
    for secret in (BOT_TOKEN, CLOUD_TOKEN, PHONE, PHONE[1:], TEXT, token, JWT_SECRET, API_KEY, CALLBACK_SECRET):
        assert secret not in written


async def test_no_secret_reaches_a_log(
    gateway: Daemon, planted: Settings, agent: str, n8n: FakeN8n, tmp_path: Path
) -> None:
    """Tokens, bot URLs, phone numbers and texts go through every process, fail there, and are in no line."""
    token = await send_everywhere(planted, gateway, agent)
    await delivered_in_vain(tmp_path)
    assert_secret(tmp_path, gateway, token)


async def test_an_unreachable_provider_is_told_without_its_url(
    unreachable: Settings, agent: str, n8n: FakeN8n, tmp_path: Path
) -> None:
    """Which channel, that it is tried again, and why; the URL, which is a secret of Telegram's, is in no line."""
    async with fleet(unreachable) as gateway:
        token = await send_everywhere(unreachable, gateway, agent)
        told = {line["channel"]: line for line in await delivered_in_vain(tmp_path)}
        for channel in ("telegram", "whatsapp"):
            line = told[channel]
            assert (line["code"], line["outcome"], line["level"]) == (
                "provider_unreachable",
                "postponed",
                "warning",
            )
            assert line["messageId"]
            assert line["conversationId"]
            assert "cannot be connected to" in line["error"]
    assert_secret(tmp_path, gateway, token)


async def test_every_line_of_a_message_carries_its_ids(
    gateway: Daemon, traffic: Traffic, agent: str, n8n: FakeN8n, tmp_path: Path
) -> None:
    """Message, conversation, step and attempt are bound to each line; errors have a file of their own."""
    n8n.reset(N8nBehavior(mode="500"))
    await traffic.waiting("m", conversation="c", agent=agent)
    await until(lambda: any("Job failed" in line["event"] for line in lines(tmp_path)), "the message to fail")
    told = [line for line in lines(tmp_path) if line.get("messageId") == "m" and line["daemon"] == "worker"]
    assert {line["event"] for line in told} >= {"Finding the agent", "Calling n8n", "Attempt failed", "Job failed"}
    assert {line["conversationId"] for line in told} == {"c"}
    assert [line["attempt"] for line in told if line["event"] == "Calling n8n"] == [1, 2]
    assert {line["step"] for line in told} == {"agent", "history", "payload", "n8n"}
    errors = [line["error"] for line in told if "error" in line]
    advice = "the workflow failed: see its executions in n8n."
    assert errors == ["n8n answered HTTP 500", f"n8n answered HTTP 500: {advice}"]  # the advice comes once
    assert not any(value is None for line in told for value in line.values())
    await until(lambda: lines(tmp_path, "error.log"), "the second file to be written")
    assert {line["event"] for line in lines(tmp_path, "error.log")} == {"Job failed"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            f"POST https://api.telegram.org/bot{BOT_TOKEN}/sendMessage",
            "POST https://api.telegram.org/bot[secret]/sendMessage",
        ),
        ("GET /ws/chat?token=abc.def&progress=1", "GET /ws/chat?token=[secret]&progress=1"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2ln", "Bearer [jwt]"),
        (f"no WhatsApp at {PHONE}.", "no WhatsApp at [phone]."),
        (
            "+1 200 ms, 1+12345 and 1700000000000 are no phones",
            "+1 200 ms, 1+12345 and 1700000000000 are no phones",
        ),
        ("a line\r\x1b[31mforged", "a line??[31mforged"),
    ],
)
def test_what_a_library_logs_is_masked_by_its_shape(text: str, written: str) -> None:
    """Whoever writes a line, a traceback included: tokens, bot URLs and phone numbers are taken out of it."""
    assert redact_text(text) == written
