"""The gateway as a process: how it starts, refuses to start, bears a Redis that goes, and ends."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from daemons.gateway.app import serve
from msgctl.agents.agents import Agent
from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor.ports import free_port
from msgctl.storage.redis import keys
from msgctl.storage.redis.connections import connect
from tests.support.gateway_clients import Client, Pipeline, running
from tools.support.daemons import Daemon, until


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session."""
    async with aiohttp.ClientSession() as session:
        yield session


def url_of(daemon: Daemon) -> str:
    """Where a gateway listens, as its READY=1 says."""
    return daemon.status.removeprefix("listening at ")


async def test_no_token_reaches_a_log(settings: Settings, http: aiohttp.ClientSession, agent: Agent) -> None:
    """At the most talkative level, by header, query, subprotocol, ticket and Referer: no credential in any line.

    Nor in an answer or a metric.
    """
    logs = settings.logs.model_copy(update={"level": "debug"})
    metrics = settings.metrics.model_copy(update={"port": free_port()})
    told = []
    async with Daemon("gateway", settings.model_copy(update={"logs": logs, "metrics": metrics})) as daemon:
        client = Client(url_of(daemon), settings, "ana", http)
        assert (await client.post({"agentId": agent.id, "message": "a text of a customer"})).status == 202
        ticket = (await client.request("POST", "/api/ws-ticket")).json["data"]["ticket"]
        for query in (f"token={client.token}", f"ticket={ticket}"):
            async with client.socket(query) as chat:
                await chat.hear("connected")
                await chat.say("message", agentId=agent.id, content="a text of a customer")
                await chat.hear("queued")
        options = {"subprotocols": ["msgctl.v1", f"bearer.{client.token}"]}
        async with client.socket("", **options) as chat:
            await chat.hear("connected")
        for bad in (client.token + "x", "bad-secret"):
            async with client.socket(f"token={bad}") as chat:
                assert (await chat.closed())[0] == 4401
            headers = {"Authorization": bad, "Referer": f"https://chat.example/?token={client.token}"}
            paths = [f"{path}?token={bad}" for path in ("/api/messages/queue/stats", f"/{bad}", "/api/messages")]
            told += [(await client.request("GET", path, headers=headers)).body for path in paths]
        await break_off(url_of(daemon), client.token)
        async with http.get(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            told.append(await answer.read())
    assert b"msgctl_" in told[-1]
    output = daemon.output
    assert output
    signature = client.token.rpartition(".")[2]
    for secret in (client.token, signature, ticket, "bad-secret", "token=", "a text of a customer"):
        assert secret not in output, secret
        assert not any(secret.encode() in answer for answer in told), secret
    assert "Traceback" not in output, output


async def break_off(url: str, token: str) -> None:
    """A handshake, then bytes that are no frame, and text that is no UTF-8."""
    host, port = url.removeprefix("http://").split(":")
    for nonsense in (b"\xff" * 64, b"\x81\x82\x00\x00\x00\x00\xff\xfe"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /ws/chat?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.write(nonsense)
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_gateway_does_not_start_without_a_secret(settings: Settings) -> None:
    """A missing secret is one readable line and exit 78."""
    auth = settings.auth.model_copy(update={"jwt_secret": type(settings.auth.jwt_secret)("too short")})
    async with Daemon("gateway", settings.model_copy(update={"auth": auth})) as daemon:
        assert await daemon.exited() == 78
    assert "jwt_secret" in daemon.output
    assert "too short" not in daemon.output
    assert "Traceback" not in daemon.output


async def test_gateway_does_not_start_with_an_unsafe_redis(settings: Settings, tmp_path: Path) -> None:
    """A Redis that evicts is exit 78 with the mending command; with `accept_data_loss` it is accepted."""
    async with ValkeyServer(tmp_path / "valkey") as valkey, Redis.from_url(valkey.url()) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        unsafe = own_redis(settings, valkey)
        async with Daemon("gateway", unsafe) as daemon:
            assert await daemon.exited() == 78
        assert "CONFIG SET maxmemory-policy noeviction" in daemon.output
        careless = unsafe.redis.model_copy(update={"accept_data_loss": True})
        async with Daemon("gateway", unsafe.model_copy(update={"redis": careless})) as daemon:
            assert url_of(daemon)


def own_redis(settings: Settings, valkey: ValkeyServer) -> Settings:
    """Settings with a Redis of the test's own, which it may stop, and a short patience."""
    update = {
        "host": "127.0.0.1",
        "port": valkey.port,
        "password": type(settings.redis.password)(""),
        "timeout": 1.0,
    }
    return settings.model_copy(update={"redis": settings.redis.model_copy(update=update)})


async def test_gateway_does_not_start_without_redis(settings: Settings) -> None:
    """No Redis is one readable line and exit 69."""
    gone = settings.redis.model_copy(update={"port": 9})
    async with Daemon("gateway", settings.model_copy(update={"redis": gone})) as daemon:
        assert await daemon.exited() == 69
    assert "Traceback" not in daemon.output


async def test_taken_address_is_an_error(settings: Settings) -> None:
    """A port that another program holds is one readable line and exit 69."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = settings.gateway.model_copy(update={"port": taken.getsockname()[1]})
        async with Daemon("gateway", settings.model_copy(update={"gateway": gateway})) as daemon:
            assert await daemon.exited() == 69
    assert "[gateway] host and port" in daemon.output


async def test_inherited_socket_is_served(settings: Settings, http: aiohttp.ClientSession) -> None:
    """`--fd N` serves on a socket that its parent bound, and a number that is no socket is exit 78."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with running(serve, settings, fd=os.dup(listener.fileno())) as life:
            assert life.status.result() == f"listening at {url}"
            assert (await Client(url, settings, "ana", http).get("/readyz")).status == 200
    async with Daemon("gateway", settings, "--fd", "250") as daemon:
        assert await daemon.exited() == 78


async def test_gateway_shuts_down_gracefully(
    settings: Settings, http: aiohttp.ClientSession, agent: Agent
) -> None:
    """SIGTERM: sockets are told 1001 with a hint to resume, a request in flight is answered, exit 0."""
    async with Daemon("gateway", settings) as daemon:
        client = Client(url_of(daemon), settings, "ana", http)
        host, port = client.url.removeprefix("http://").split(":")
        async with client.socket() as chat:
            await chat.hear("connected")
            reader, writer = await asyncio.open_connection(host, int(port))
            body = f'{{"agentId":"{agent.id}","message":"oi"}}'
            head = (
                f"POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
                f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode())
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"  # now the request is in hand
            daemon.process.send_signal(signal.SIGTERM)
            code, reason = await chat.closed()
            assert (code, "resume" in reason) == (1001, True)
            await assert_closed_to_newcomers(client)
            writer.write(body.encode())
            answer = await reader.read()
            assert b"HTTP/1.1 202" in answer
            writer.close()
            await writer.wait_closed()
        assert await daemon.exited() == 0


async def assert_closed_to_newcomers(client: Client) -> None:
    """Nobody new is let in: ignored first, then refused."""
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get("/readyz")


async def test_next_gateway_takes_over_the_port(settings: Settings, http: aiohttp.ClientSession) -> None:
    """A second gateway listens on the same port before the first one goes; a socket comes back to it."""
    async with Daemon("gateway", settings) as first:
        client = Client(url_of(first), settings, "ana", http)
        port = int(client.url.rpartition(":")[2])
        same = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
        async with Daemon("gateway", same) as second:
            assert url_of(second) == client.url
            first.process.send_signal(signal.SIGTERM)
            assert await first.exited() == 0
            async with client.socket() as chat:
                await chat.hear("connected")
            assert (await client.get("/readyz")).status == 200


async def test_gateway_survives_an_outage_of_redis(
    settings: Settings, http: aiohttp.ClientSession, agent: Agent, tmp_path: Path
) -> None:
    """Without Redis: 503, `readyz` fails, sockets stay and answer `error`; with it all heals by itself."""
    async with ValkeyServer(tmp_path / "valkey") as valkey:
        settings = own_redis(settings, valkey)
        pipeline = Pipeline(redis := connect(settings), settings)
        async with running(serve, settings) as life, pipeline.delivering():
            client = Client(url_from(life.status.result()), settings, "ana", http)
            body = {"agentId": agent.id, "message": "oi"}
            assert (await client.post(body)).status == 202
            await pipeline.answer()
            async with client.socket() as chat:
                await chat.hear("connected")
                await valkey.stop()
                await refuses(client, body)
                await chat.say("message", agentId=agent.id, content="oi", messageId="m")
                error = await chat.hear("error")
                assert (error["code"], error["messageId"]) == ("redis_unavailable", "m")
                assert "127.0.0.1" not in error["message"]
                async with client.socket() as newcomer:
                    newcomer_id = (await newcomer.hear("connected"))["socketId"]
                    await valkey.start()
                    await until(lambda: accepts(client, {**body, "messageId": "again"}), "messages to be accepted")
                    await pipeline.answer()
                    known = keys.SOCKET + newcomer_id
                    await until(lambda: redis.exists(known), "the newcomer to be known")
                    for open_socket in (chat, newcomer):
                        await open_socket.say("message", agentId=agent.id, content="oi")
                        await open_socket.hear("queued")
                        await open_socket.hear("processing")
                        await pipeline.answer("healed")
                        assert (await open_socket.hear("message"))["message"] == "healed"
        await redis.aclose()


def url_from(status: str) -> str:
    """Where a gateway listens."""
    return status.removeprefix("listening at ")


async def refuses(client: Client, body: object) -> None:
    """Without Redis every route that needs it says so, quickly and alike; the process itself lives."""
    for answer in (
        await client.post(body),
        await client.get("/api/messages/m/status"),
        await client.get("/api/messages/queue/stats"),
        await client.request("POST", "/api/ws-ticket"),
        await client.get("/readyz"),
    ):
        assert (answer.status, answer.code) == (503, "redis_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert b"127.0.0.1" not in answer.body
    health = await client.get("/api/messages/queue/health")
    assert (health.status, health.json["data"]["stats"]) == (503, None)
    assert [reason["code"] for reason in health.json["data"]["reasons"]] == ["redis_unavailable"]
    assert b"127.0.0.1" not in health.body
    assert (await client.get("/healthz")).status == 200
    async with client.socket("ticket=x") as chat:
        assert (await chat.closed())[0] == 1013


async def accepts(client: Client, body: object) -> bool:
    """Whether a message is accepted."""
    return (await client.post(body)).status == 202


async def test_hanging_redis_is_not_waited_for(
    settings: Settings, http: aiohttp.ClientSession, agent: Agent, tmp_path: Path
) -> None:
    """A frozen Redis: 503 within the configured patience, and served again once it thaws."""
    async with ValkeyServer(tmp_path / "valkey") as valkey:
        settings = own_redis(settings, valkey)
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"timeout": 3.0})})
        async with running(serve, settings) as life:
            client = Client(url_from(life.status.result()), settings, "ana", http)
            body = {"agentId": agent.id, "message": "oi"}
            assert valkey.pid
            os.kill(valkey.pid, signal.SIGSTOP)
            try:
                answer, *others = await asyncio.wait_for(
                    asyncio.gather(
                        client.post(body),
                        client.get("/api/messages/queue/health"),
                        client.get("/api/messages/queue/stats"),
                        client.get("/api/messages/m-1/status"),
                        client.request("POST", "/api/ws-ticket"),
                    ),
                    3 * settings.redis.timeout,  # redis-py alone would ask four times
                )
                assert {other.status for other in others} == {503}
                health = others[0].json["data"]
                assert [reason["code"] for reason in health["reasons"]] == ["redis_unavailable"]
                assert (answer.status, answer.headers["retry-after"]) == (503, "2")
                assert answer.code in {"unavailable", "redis_unavailable"}
            finally:
                os.kill(valkey.pid, signal.SIGCONT)
            await until(lambda: accepts(client, body), "messages to be accepted")


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [
        ("maxmemory", lambda used: int(used * 1.1), "0"),
        ("maxmemory-policy", lambda _used: "allkeys-lru", "noeviction"),
    ],
    ids=["nearly full", "evicting"],
)
async def test_messages_are_refused_while_redis_is_not_durable(
    settings: Settings,
    http: aiohttp.ClientSession,
    agent: Agent,
    tmp_path: Path,
    *,
    setting: str,
    bad: Callable[[int], object],
    good: str,
) -> None:
    """Above four fifths of its memory, or with another policy, set while all runs: 503 until it is healed."""
    async with ValkeyServer(tmp_path / "valkey") as valkey, Redis.from_url(valkey.url()) as redis:
        settings = own_redis(settings, valkey)
        async with running(serve, settings) as life:
            client = Client(url_from(life.status.result()), settings, "ana", http)
            body = {"agentId": agent.id, "message": "oi"}
            assert await accepts(client, body)
            used = int((await redis.info("memory"))["used_memory"])
            await redis.config_set(setting, str(bad(used)))
            await until(lambda: refused(client, body), "messages to be refused")
            await redis.config_set(setting, good)
            await until(lambda: accepts(client, body), "messages to be accepted")


async def refused(client: Client, body: object) -> bool:
    """Whether a message is refused for want of room."""
    answer = await client.post(body)
    return (answer.status, answer.headers.get("retry-after")) == (503, "10")


async def test_socket_that_never_reads_does_not_delay_shutdown(
    settings: Settings, http: aiohttp.ClientSession
) -> None:
    """A client that does not answer the farewell does not keep the gateway from ending."""
    token = tokens.issue(settings, "ana", 60)
    async with Daemon("gateway", settings) as daemon:
        host, port = url_of(daemon).removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /ws/chat?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.exited() == 0
        writer.close()
        await writer.wait_closed()
