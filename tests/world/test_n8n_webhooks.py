"""The webhook of an agent: paths as people copy them from n8n, and one call of the workflow behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from msgctl.agents.agents import Agent
from msgctl.agents.webhook_paths import read_webhook_path
from msgctl.config.settings import N8nSettings, Settings
from msgctl.domain.errors import InvalidInput
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.operations.checks.doctor.dependency_checks import check_n8n
from msgctl.operations.checks.findings import Severity
from tests.support.command_line import Invoke

BASE = "https://n8n.example.com/flows"
REPAIRED = [
    ("support/chat", "support/chat"),
    ("0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10/chat", "0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10/chat"),
    (" support ", "support"),
    ("webhook/support", "support"),
    ("/webhook/support", "support"),
    ("webhook-test/support", "support"),
    ("/webhook-test/support/chat", "support/chat"),
    ("webhook/webhook/x", "webhook/x"),
    ("webhooks", "webhooks"),
    ("webhook", "webhook"),
    (f"{BASE}/webhook/support/chat", "support/chat"),
    (f"{BASE}/webhook-test/support", "support"),
    (f"{BASE}/webhook/support/", "support"),
    ("https://N8N.example.com:443/flows/webhook/support", "support"),
    ("http://n8n.example.com:5678/webhook/support", "support"),
    ("HTTPS://n8n.example.com/webhook/id/chat", "id/chat"),
]
REFUSED = [
    ("", "support/chat"),
    ("/support", "support/chat"),
    ("support/", "support/chat"),
    ("webhook/", "support/chat"),
    ("a b", "support/chat"),
    ("a?x=1", "support/chat"),
    ("../x", "support/chat"),
    ("webhook/../rest", "support/chat"),
    ("a//b", "support/chat"),
    ("form/abc", "Webhook or Chat Trigger"),
    ("webhook-waiting/12", "Webhook or Chat Trigger"),
    (f"{BASE}/webhook/x?token=zq1", "no query"),
    (f"{BASE}/workflow/12", "Production URL"),
    (f"{BASE}/form/12", "Webhook or Chat Trigger"),
    ("https://other.example.com/webhook/x", "other.example.com, and n8n.base_url is on n8n.example.com"),
    ("https://other.example.com/webhook/x", "give the path alone, x"),
    ("https://n8n.example.com.evil.example/webhook/x", "n8n.example.com.evil.example"),
    ("https://ana:zq1@n8n.example.com/webhook/x", "the URL that n8n shows"),
    ("ftp://n8n.example.com/webhook/x", "the URL that n8n shows"),
    ("https://[zq1/webhook/x", "the URL that n8n shows"),
    ("://", "the URL that n8n shows"),
]


@pytest.mark.parametrize(("text", "path"), REPAIRED)
def test_path_is_found_in_what_n8n_shows(text: str, path: str) -> None:
    """The path, with or without its prefix, or a URL of the configured n8n, whatever its scheme and port."""
    assert read_webhook_path(text, BASE) == path


@pytest.mark.parametrize(("text", "advice"), REFUSED)
def test_what_is_no_path_is_refused_with_advice(text: str, advice: str) -> None:
    """The error says what to give, and quotes neither a login nor a query."""
    with pytest.raises(InvalidInput) as refused:
        read_webhook_path(text, BASE)
    assert advice in refused.value.message
    assert "zq1" not in refused.value.message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_has_several_names(host: str) -> None:
    """A URL copied from a browser on the same machine is that of the configured n8n."""
    assert read_webhook_path(f"http://{host}:5678/webhook/x", "http://localhost:5678") == "x"


async def test_add_tells_what_it_stored(msgctl: Invoke) -> None:
    """A repaired path is named, and whoever gave the test URL is told to activate the workflow."""
    words = ("agent", "add", "--user", "ana", "--name", "A", "-o", "json", "--webhook")
    plain = await msgctl(*words, "support")
    assert (plain.json["webhookPath"], plain.stderr) == ("support", "")
    repaired = await msgctl(*words, "http://127.0.0.1:9/webhook-test/support/chat")
    assert repaired.json["webhookPath"] == "support/chat"
    assert "stored as support/chat" in repaired.stderr
    assert "activate the workflow" in repaired.stderr
    refused = await msgctl(*words, "https://n8n.other.example/webhook/x")
    assert (refused.code, refused.stdout) == (2, "")
    assert "n8n.base_url" in refused.stderr


TRIALS: list[tuple[str, int, dict[str, Any], str]] = [
    ("ok", 0, {"status": 200, "outcome": "reply"}, ""),
    ("text", 0, {"status": 200, "outcome": "reply"}, ""),
    ("empty", 4, {"status": 200, "outcome": "unusable", "defect": "empty"}, "Respond to Webhook"),
    ("started", 4, {"status": 200, "outcome": "unusable", "defect": "started"}, "Respond"),
    ("html", 4, {"status": 200, "outcome": "unusable", "defect": "markup_page"}, "base_url"),
    ("403", 4, {"status": 403, "outcome": "unusable", "code": "n8n_rejected"}, "HTTP 403"),
    ("500", 4, {"status": 500, "outcome": "unusable"}, "HTTP 500"),
]


@pytest.mark.parametrize("trial", TRIALS, ids=[row[0] for row in TRIALS])
async def test_agent_test_says_what_came_and_how_it_is_read(
    msgctl: Invoke, agent: Agent, n8n: FakeN8n, trial: tuple[str, int, dict[str, Any], str]
) -> None:
    """One call: status, type, size, time, and the reading of a worker. The exit code says whether it is usable."""
    mode, code, expected, advice = trial
    n8n.reset(N8nBehavior(mode=mode))
    words = ("agent", "test", agent.id, "--text", "oi", "-o", "json")
    outcome = await msgctl(*words, environ={"MSGCTL_N8N_BASE_URL": n8n.url})
    assert outcome.code == code, outcome.stderr
    record = outcome.json
    assert record["schema"] == "msgctl.agent-test/1"
    assert {name: record[name] for name in expected} == expected
    assert (record["path"], record["seconds"] > 0) == ("/webhook/chat", True)
    assert (record["bytes"] > 0) == (mode != "empty")
    if code:
        assert advice in record["advice"]
        assert record["advice"] in " ".join(outcome.stderr.split())
    else:
        assert record["contentType"]
        assert "oi" in record["parts"][0]["text"]
    [request] = n8n.requests
    assert (request["body"]["chatInput"], request["body"]["attempt"]) == ("oi", 1)


async def test_agent_test_of_an_n8n_that_is_down(msgctl: Invoke, agent: Agent) -> None:
    """Exit 69, and the record has no status."""
    outcome = await msgctl(
        "agent", "test", agent.id, "-o", "json", environ={"MSGCTL_N8N_BASE_URL": "http://127.0.0.1:9"}
    )
    assert outcome.code == 69
    assert "status" not in outcome.json
    assert outcome.json["code"] == "n8n_unreachable"
    table = await msgctl("agent", "test", agent.id, environ={"MSGCTL_N8N_BASE_URL": "http://127.0.0.1:9"})
    assert "n8n.base_url" in table.stderr
    missing = await msgctl("agent", "test", "Nobody")
    assert missing.code == 3


@pytest.mark.parametrize(
    ("base_url", "named"),
    [
        ("http://127.0.0.1:9", "n8n cannot be reached"),
        ("http://ana:zq1@127.0.0.1:9", "n8n cannot be reached"),
        ("http://nowhere.invalid", "n8n cannot be reached"),
    ],
)
async def test_doctor_does_not_reach_what_a_worker_does_not(settings: Settings, base_url: str, named: str) -> None:
    """It asks through the client of a worker, and its finding shows no login of the address."""
    n8n_settings = N8nSettings.model_validate({"base_url": base_url})
    [finding] = await check_n8n(settings.model_copy(update={"n8n": n8n_settings}), ["support"])
    assert (finding.code, finding.severity) == ("n8n_down", Severity.TROUBLE)
    assert named in finding.text
    assert "zq1" not in f"{finding.text} {finding.remedy}"


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_doctor_tells_a_proxy_from_n8n(settings: Settings, status: int) -> None:
    """A proxy that answers for an n8n that is down is no reachable n8n."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            status=status, text="<html><title>Bad Gateway</title></html>", content_type="text/html"
        )

    async with serving(answer) as url:
        n8n_settings = N8nSettings.model_validate({"base_url": url})
        [finding] = await check_n8n(settings.model_copy(update={"n8n": n8n_settings}), [])
    assert (finding.code, f"HTTP {status}" in finding.text) == ("n8n_down", True)


async def test_doctor_asks_with_the_credentials_of_a_worker(settings: Settings) -> None:
    """Each request has the headers of a call, and a webhook that n8n does not know is named."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("X-Key", "")))
        method = " Did you mean to make a POST request?" if request.path == "/webhook/known" else ""
        return web.json_response({"code": 404, "message": f"This webhook is not registered.{method}"}, status=404)

    async with serving(answer) as url:
        values = {"base_url": url, "header_name": "X-Key", "header_value": "k"}
        changed = settings.model_copy(update={"n8n": N8nSettings.model_validate(values)})
        [finding] = await check_n8n(changed, ["known", "unknown"])
    assert (finding.code, "unknown" in finding.text) == ("webhook_unknown", True)
    assert seen == [("/webhook/msgctl-probe", "k"), ("/webhook/known", "k"), ("/webhook/unknown", "k")]


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """The URL of a server that answers each request by a handler."""
    server = TestServer(_application(handler))
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


def _application(handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.Application:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    return application
