"""What holds on every path: who may come in, and the one shape of a refusal; probes, statistics, tickets."""

import asyncio
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from daemons.gateway import translations
from daemons.gateway.app import serve
from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.domain import errors
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Answer, Client, Pipeline, running
from tests.support.tokens import BAD_CLAIMS, forged, good_claims
from tests.support.tokens import raw as raw_token
from tools.support.daemons import PATIENCE

GUARDED = [
    ("POST", "/api/messages"),
    ("GET", "/api/messages/m/status"),
    ("GET", "/api/messages/queue/stats"),
    ("GET", "/api/messages/queue/health"),
    ("POST", "/api/ws-ticket"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_api_requires_a_valid_token(method: str, path: str, client: Client) -> None:
    """No token, a bad one, another scheme: one and the same 401, before anything else is looked at."""
    bad = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x.y.z",
        f"Basic {client.token}",
        client.token,
        f"Bearer {client.token}x",
    ]
    answers = [await client.request(method, path, headers={"Authorization": value}) for value in bad]
    assert {(answer.status, answer.code, answer.body) for answer in answers} == {
        (401, "unauthorized", answers[0].body)
    }
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


async def test_invalid_tokens_get_the_same_error(client: Client) -> None:
    """More than thirty tokens, each bad in its own way: one answer to the byte, and one close of the socket."""
    claims = [raw_token({"alg": "HS256", "typ": "JWT"}, change(good_claims())) for change in BAD_CLAIMS]
    bad = [
        token
        for token in (*claims, *forged().values())
        if token.isascii() and token.isprintable() and token == token.strip()
    ]
    assert len(bad) > 30
    seen = set()
    for token in bad:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.request("GET", "/api/messages/queue/stats", headers=headers)
        seen.add((answer.status, answer.body, tuple(k for k in answer.headers if k != "date")))
    assert [status for status, _, _ in seen] == [401]
    for token in bad[::8]:
        async with client.socket(f"token={token}") as chat:
            assert await chat.closed() == (4401, "token missing, bad or expired")


async def test_scheme_is_case_insensitive(client: Client) -> None:
    """`bearer` is `Bearer` (RFC 7235)."""
    answer = await client.request(
        "GET", "/api/messages/queue/stats", headers={"Authorization": f"bearer  {client.token}"}
    )
    assert answer.status == 200


async def test_two_authorization_headers_are_refused(client: Client, gateway: str) -> None:
    """A proxy and we could each believe another one."""
    token = f"Authorization: Bearer {client.token}\r\n"
    answer = await raw(gateway, f"GET /api/messages/queue/stats HTTP/1.1\r\nHost: x\r\n{token}{token}\r\n")
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/messages/", "/api/messages/m", "/nothing", "/docs/", "/%2e%2e/etc", "/ws"]
)
async def test_unknown_route_gets_the_error_format(path: str, client: Client) -> None:
    """404 with our body, no redirect, no plain text."""
    answer = await client.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/messages", "POST"),
        ("DELETE", "/api/messages", "POST"),
        ("POST", "/api/messages/m/status", "GET, HEAD"),
        ("PUT", "/api/messages/queue/stats", "GET, HEAD"),
        ("GET", "/api/ws-ticket", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/api/messages", "POST"),
    ],
)
async def test_wrong_method_gets_the_error_format(method: str, path: str, allow: str, client: Client) -> None:
    """405 with our body and the methods that are allowed."""
    answer = await client.request(method, path)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allow


async def test_websocket_route_requires_an_upgrade(client: Client) -> None:
    """A GET without an upgrade gets 426, not a riddle."""
    answer = await client.get("/ws/chat")
    assert (answer.status, answer.code, answer.headers["upgrade"]) == (426, "upgrade_required", "websocket")


@pytest.mark.parametrize("request_line", ["G\x00T / HTTP/1.1", "GET / HTTP/9.9", "nonsense", "GET /\r\nx: \x01"])
async def test_invalid_http_gets_the_error_format(request_line: str, gateway: str) -> None:
    """Even bytes that are no request get our body, and the connection ends."""
    answer = await raw(gateway, request_line + "\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert Answer(400, {"content-type": "application/json; charset=utf-8"}, body).code == "bad_request"


async def raw(gateway: str, request: str) -> bytes:
    """Send bytes and read until the gateway closes or a whole answer is there."""
    host, port = gateway.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode("latin-1"))
    answer = b""
    while b"}}" not in answer and (part := await asyncio.wait_for(reader.read(4096), PATIENCE)):
        answer += part
    writer.close()
    await writer.wait_closed()
    return answer


async def test_stats_count_every_state(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """The seven numbers, and `total` is the sum of the other six."""
    for number in range(4):
        await client.post({"agentId": agent.id, "message": "oi", "conversationId": f"c{number}"})
    await pipeline.answer()
    await pipeline.fail()
    await pipeline.claim()
    answer = await client.get("/api/messages/queue/stats")
    counts = {"waiting": 1, "active": 1, "completed": 1, "failed": 1, "delayed": 0, "paused": 0, "total": 4}
    assert (answer.status, answer.json) == (200, {"success": True, "data": counts})


async def test_health_names_missing_daemons(client: Client) -> None:
    """Without worker and subscriber: 503 with the reasons, in the API's shape."""
    answer = await client.get("/api/messages/queue/health")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json["success"] is True
    data = answer.json["data"]
    assert data.keys() == {"healthy", "stats", "reasons"}
    assert data["healthy"] is False
    assert data["stats"]["total"] == 0
    assert [reason["code"] for reason in data["reasons"]] == ["no_worker", "no_subscriber"]


async def test_probes_need_no_token(client: Client) -> None:
    """`healthz` and `readyz` answer anybody, HEAD included."""
    for path in ("/healthz", "/readyz"):
        answer = await client.request("GET", path, headers={"Authorization": ""})
        assert (answer.status, answer.json) == (200, {"success": True, "data": {"status": "ok"}})
        assert (await client.request("HEAD", path)).status == 200


async def test_internal_error_reveals_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is a 500 in the one shape, without a word of what it was, and is logged."""

    async def broken(_: object) -> None:
        raise ValueError("the secret of the house")

    monkeypatch.setattr(Queue, "stats", broken)
    with capture_logs() as logged:
        answer = await client.get("/api/messages/queue/stats")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert [(line["event"], line["exc_info"]) for line in logged] == [("Request failed unexpectedly", True)]


async def test_configuration_error_reveals_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the code of an error that only an operator can mend leaves the house."""

    async def broken(_: object) -> None:
        raise errors.ConfigurationError("the table of agents is missing at db.internal")

    monkeypatch.setattr(Queue, "stats", broken)
    with capture_logs() as logged:
        answer = await client.get("/api/messages/queue/stats")
    assert logged[0]["code"] == "configuration_error"
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"db.internal" not in answer.body


async def test_english_changes_texts_only(settings: Settings, agent: Agent) -> None:
    """With `locale = "en"` fields and codes are the same, and every text is another."""
    gateway = settings.gateway.model_copy(update={"locale": "en"})
    async with (
        running(serve, settings.model_copy(update={"gateway": gateway})) as life,
        aiohttp.ClientSession() as http,
    ):
        client = Client(life.status.result().removeprefix("listening at "), settings, "ana", http)
        accepted = await client.post({"agentId": agent.id, "message": "oi"})
        assert accepted.status == 202
        assert accepted.json["message"] == "Message received and being processed"
        assert accepted.json["data"].keys() == {"messageId", "conversationId", "jobId", "status", "estimatedTime"}
        assert accepted.json["data"]["estimatedTime"] == "5-30 seconds"
        assert (await client.get("/nothing")).code == "not_found"
        async with client.socket() as chat:
            await chat.hear("connected")
            await chat.say("message", agentId=agent.id, content="oi")
            assert await chat.hear("queued") == {"message": "Message received, processing..."}


def test_both_languages_have_the_same_texts() -> None:
    """No text is missing in either language, and every code of an error that can reach a client has one."""
    portuguese, english = translations._TEXTS["pt-BR"], translations._TEXTS["en"]
    assert portuguese.errors.keys() == english.errors.keys()
    assert not set(portuguese.errors.values()) & set(english.errors.values())
    reachable: list[type[Any]] = [
        errors.InvalidInput,
        errors.MalformedBody,
        errors.BodyTooLarge,
        errors.UnsupportedMedia,
        errors.Unauthorized,
        errors.NotFound,
        errors.Conflict,
        errors.TryLater,
        errors.Unavailable,
        errors.RedisUnavailable,
        errors.PostgresUnavailable,
        errors.MsgctlError,
    ]
    assert {error.code for error in reachable} <= portuguese.errors.keys()


async def test_ticket_opens_one_socket(client: Client, redis: RedisClient) -> None:
    """`POST /api/ws-ticket` gives a ticket that works once and lies in Redis by its digest, for 30 s at most."""
    answer = await client.request("POST", "/api/ws-ticket")
    assert answer.status == 201
    ticket = answer.json["data"]["ticket"]
    assert answer.json == {"success": True, "data": {"ticket": ticket, "expiresIn": 30}}
    (key,) = await redis.keys(keys.TICKET + "*")
    assert ticket not in key
    assert 0 < await redis.ttl(key) <= 30
    async with client.socket(f"ticket={ticket}") as chat:
        await chat.hear("connected")
    async with client.socket(f"ticket={ticket}") as chat:
        assert (await chat.closed())[0] == 4401
