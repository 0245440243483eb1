"""A channel that a distribution adds, through real processes: it sends, receives, and is shown and explained."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web

from msgctl.agents.agents import Agent, Agents
from msgctl.auth.tokens import issue
from msgctl.config.settings import Settings
from tests.support.command_line import Outcome, started
from tests.support.paths import ROOT
from tools.support.daemons import PATIENCE, Daemon, until

TOKEN = "token-of-the-sms-provider"
NUMBER = "+15550100"
UNKNOWN_NUMBER = "+15550199"


class Provider:
    """A provider of text messages, which knows every number but `UNKNOWN_NUMBER`."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/send", self._send)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _send(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        part = json.loads(await request.read())
        if part["to"] == UNKNOWN_NUMBER:
            return web.json_response({"error": 7}, status=400)
        self.sent.append(part)
        return web.json_response({"id": f"sms-{next(self._ids)}"})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """The provider of the channel `sms`."""
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def agent(settings: Settings) -> Agent:
    """The agent that answers."""
    async with Agents(settings) as agents:
        return await agents.add(user_id="ana", name="Support", webhook_path="support")


@pytest.fixture
def installed(tmp_path: Path, provider: Provider, agent: Agent) -> dict[str, str]:
    """The environment in which a distribution with the channel is installed and set up."""
    info = tmp_path / "site" / "smsway-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: smsway\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[msgctl.channels]\nsms = tests.channels.sms:CHANNEL\n")
    return {
        "PYTHONPATH": f"{info.parent}:{ROOT}",
        "MSGCTL_CHANNELS_SMS_BASE_URL": provider.url,
        "MSGCTL_CHANNELS_SMS_TOKEN": TOKEN,
        "MSGCTL_CHANNELS_SMS_AGENT": agent.id,
        "MSGCTL_CHANNELS_SMS_MAX_CHARS": "500",
    }


async def run_command(settings: Settings, folder: Path, environ: Mapping[str, str], *arguments: str) -> Outcome:
    """Run the command line in a folder to its end."""
    async with started(settings, *arguments, folder=folder, environ=environ) as process:
        stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return Outcome(process.returncode, stdout.decode(), stderr.decode())


async def test_channel_of_a_distribution_sends_and_receives(
    settings: Settings, provider: Provider, agent: Agent, installed: dict[str, str], tmp_path: Path
) -> None:
    """Gateway, worker and subscriber need nothing but the entry point and the settings."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Daemon("subscriber", settings, extra=installed))
        await stack.enter_async_context(Daemon("worker", settings, extra=installed))
        gateway = await stack.enter_async_context(Daemon("gateway", settings, extra=installed))
        address = re.search(r"127\.0\.0\.1:\d+", gateway.status)
        assert address, gateway.output
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://{address.group()}"))

        async def post(path: str, body: dict[str, Any], **headers: str) -> int:
            async with http.post(path, json=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        message = {"agentId": agent.id, "message": "oi", "channel": "sms", "channelMetadata": {"number": NUMBER}}
        token = issue(settings, "ana", 3600)
        assert await post("/api/messages", message, Authorization=f"Bearer {token}") == 202
        await until(lambda: len(provider.sent) == 1, "the reply to the message")

        call = {"id": 1, "from": "+15550101", "text": "ola"}
        assert await post("/webhooks/sms", call, **{"X-Token": "wrong"}) == 401
        assert await post("/webhooks/sms", call, **{"X-Token": TOKEN}) == 200
        await until(lambda: len(provider.sent) == 2, "the reply to the webhook")
        assert [part["to"] for part in provider.sent] == [NUMBER, "+15550101"]

        test = ("channel", "test", "sms", "-o", "json")
        sent = await run_command(settings, tmp_path, installed, *test, "--to", NUMBER)
        assert (sent.code, sent.json["state"], sent.json["providerId"]) == (0, "SENT", "sms-3"), sent
        failed = await run_command(settings, tmp_path, installed, *test, "--to", UNKNOWN_NUMBER)
        assert (failed.code, failed.json["code"]) == (4, "sms_7"), failed
        assert failed.json["advice"] == "7: The number does not exist. It will not be retried."
        listed = await run_command(settings, tmp_path, installed, "channel", "list", "-o", "json")
        [sms] = [row for row in listed.json["items"] if row["channel"] == "sms"]
        assert (sms["configured"], sms["state"], sms["lastError"]) == (True, "open", "sms_7")


async def test_commands_show_and_check_the_channel(
    settings: Settings, installed: dict[str, str], tmp_path: Path
) -> None:
    """`config show`, `config explain`, `doctor`, and help know the channel and its settings."""
    shown = await run_command(settings, tmp_path, installed, "config", "show", "-o", "json")
    value_by_key = {row["key"]: (row["value"], row["origin"]) for row in shown.json["items"]}
    assert value_by_key["channels.sms.token"] == ("********", "MSGCTL_CHANNELS_SMS_TOKEN")
    assert value_by_key["channels.sms.max_chars"] == (500, "MSGCTL_CHANNELS_SMS_MAX_CHARS")
    explained = await run_command(
        settings, tmp_path, installed, "config", "explain", "channels.sms.max_chars", "-o", "json"
    )
    assert explained.json["environment"] == "MSGCTL_CHANNELS_SMS_MAX_CHARS"
    assert explained.json["meaning"] == "Characters of one part."
    helped = await run_command(settings, tmp_path, installed, "delivery", "list", "--help")
    assert "<web|whatsapp|telegram|api|sms>" in helped.stdout
    without_agent = installed | {"MSGCTL_CHANNELS_SMS_AGENT": ""}
    checked = await run_command(settings, tmp_path, without_agent, "doctor", "-o", "json")
    assert "sms has no agent." in checked.stdout


async def test_channel_table_of_the_file_is_validated(
    settings: Settings, installed: dict[str, str], tmp_path: Path
) -> None:
    """A wrong key, value or channel is refused; a wrong name with the nearest one."""
    extended = {"PYTHONPATH": installed["PYTHONPATH"]}
    file = tmp_path / "config.toml"

    async def check(text: str, **environ: str) -> Outcome:
        file.write_text(text)
        return await run_command(settings, tmp_path, extended | environ, "config", "check")

    fine = await check('[channels.sms]\ntoken = "t"\nmax_chars = 70\n')
    assert fine.code == 0, fine
    assert "unknown setting channels.sms.tokn" in (wrong := await check('[channels.sms]\ntokn = "t"\n')).stderr
    assert (wrong.code, "did you mean token?" in " ".join(wrong.stderr.split())) == (78, True)
    assert "channels.sms.max_chars" in (wrong := await check("[channels.sms]\nmax_chars = 0\n")).stderr
    assert "must be at least 4" in " ".join(wrong.stderr.split())
    assert "did you mean sms?" in " ".join((await check('[channels.smss]\ntoken = "t"\n')).stderr.split())
    wrong = await check("", MSGCTL_CHANNELS_SMS_TOKN="t")
    assert "did you mean MSGCTL_CHANNELS_SMS_TOKEN?" in " ".join(wrong.stderr.split())
