"""The states in which a real Redis refuses to serve, with whole daemons: nothing ends, nothing is charged or lost.

Each row is one state, with the commands that begin and end it.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.gateway_clients import Client
from tools.support.daemons import Daemon, until

pytestmark = pytest.mark.redis_server
Change = Callable[[RedisClient], Awaitable[Any]]


def config(**options: object) -> Change:
    """Return what sets options of the server."""

    async def change(redis: RedisClient) -> None:
        for name, value in options.items():
            await redis.config_set(name.replace("_", "-"), str(value))

    return change


async def follow(redis: RedisClient) -> None:
    """Make the server a replica of nothing."""
    await redis.replicaof("127.0.0.1", "9")


async def follow_without_data(redis: RedisClient) -> None:
    """Make the server a replica that does not even answer reads."""
    await redis.config_set("replica-serve-stale-data", "no")
    await follow(redis)


async def lead(redis: RedisClient) -> None:
    """Make the server a primary again."""
    await redis.replicaof("NO", "ONE")
    await redis.config_set("replica-serve-stale-data", "yes")


def user(*rules: str) -> Change:
    """Return what changes the rights of the daemons' user."""

    async def change(redis: RedisClient) -> None:
        await redis.execute_command("ACL", "SETUSER", "default", *rules)

    return change


STATES: dict[str, tuple[Change, Change]] = {
    "READONLY": (follow, lead),
    "MASTERDOWN": (follow_without_data, lead),
    "NOREPLICAS": (config(min_replicas_to_write=1), config(min_replicas_to_write=0)),
    "OOM": (config(maxmemory=1), config(maxmemory=0)),
    "NOPERM": (user("-@write"), user("+@write")),
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A server that the test may disturb."""
    async with ValkeyServer(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def own(settings: Settings, server: ValkeyServer) -> Settings:
    """Settings that lead to it."""
    changes = {"host": "127.0.0.1", "port": server.port, "database": 0, "password": SecretStr(""), "timeout": 2.0}
    document = settings.model_copy(update={"redis": settings.redis.model_copy(update=changes)})
    canary = document.canary.model_copy(update={"interval": 0})
    return document.model_copy(update={"canary": canary})


@pytest.fixture
async def operator(own: Settings, server: ValkeyServer) -> AsyncIterator[RedisClient]:
    """A client whose user no row changes."""
    async with connect(own) as redis:
        await redis.execute_command("ACL", "SETUSER", "operator", "on", "nopass", "~*", "&*", "+@all")
    login = own.redis.model_copy(update={"username": "operator", "password": SecretStr("x")})
    async with connect(own.model_copy(update={"redis": login})) as redis:
        yield redis


async def test_daemons_wait_out_every_state(
    own: Settings, operator: RedisClient, n8n: FakeN8n, record_property: Callable[[str, object], None]
) -> None:
    """During each state the door answers 503; then the message in n8n is committed, and new ones are processed."""
    async with Agents(own) as agents:
        agent = await agents.add(user_id="ana", name="Ana's", webhook_path="chat")
    n8n.reset(N8nBehavior(delay=1500))
    queue = Queue(operator, own)

    async def completed(message_id: str) -> bool:
        job = await queue.find(message_id)
        return job is not None and job.state is State.COMPLETED

    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        names = ("worker", "subscriber", "gateway")
        daemons = [await stack.enter_async_context(Daemon(name, own)) for name in names]
        client = Client(daemons[2].status.removeprefix("listening at "), own, "ana", http)

        async def status_of(body: dict[str, Any]) -> int:
            answer = await client.post(body)
            assert answer.status == 202 or (answer.status, answer.code) == (503, "redis_unavailable")
            return answer.status

        for state, (begin, end) in STATES.items():
            before, after = ({"agentId": agent.id, "message": "oi", "messageId": f"{state}-{n}"} for n in (1, 2))
            assert await status_of(before) == 202
            await until(lambda state=state: n8n.calls_by_message[f"{state}-1"], "n8n to be called")
            await begin(operator)
            assert await status_of(after) == 503, state
            assert ((answer := await client.get("/readyz")).status, answer.code) == (503, "redis_unavailable")
            for daemon in daemons:
                await daemon.said(f"({state}:")
            await end(operator)
            ended_at = time.monotonic()

            async def accepted(after: dict[str, Any] = after) -> bool:
                return await status_of(after) == 202

            await until(accepted, f"messages to be accepted after {state}")
            record_property(f"accepted after {state}", round(time.monotonic() - ended_at, 1))
            for body in (before, after):
                await until(lambda body=body: completed(body["messageId"]), f"{body['messageId']} to be completed")
            record_property(f"completed after {state}", round(time.monotonic() - ended_at, 1))
        assert [daemon.process.returncode for daemon in daemons] == [None, None, None]
    assert set(n8n.calls_by_message.values()) == {1}
    for daemon in daemons:
        assert "Traceback" not in daemon.output
        for state in STATES:  # a line for each task at the beginning of a state, not one for each round
            assert daemon.output.count(f"({state}:") <= 12, daemon.output


@pytest.mark.parametrize("state", ["READONLY", "MASTERDOWN", "NOREPLICAS", "OOM"])
async def test_daemons_started_during_a_state_wait(own: Settings, operator: RedisClient, state: str) -> None:
    """With `--wait` each daemon is there when the state ends, whichever daemon it is."""
    begin, end = STATES[state]
    await begin(operator)
    async with AsyncExitStack() as stack:
        daemons = [Daemon(name, own, "--wait", "120") for name in ("worker", "subscriber", "gateway")]
        for daemon in daemons:
            daemon.await_ready = False
            await stack.enter_async_context(daemon)
        for daemon in daemons:
            await daemon.said("Waiting for Redis")
        await end(operator)
        for daemon in daemons:
            await daemon.ready()
        assert [daemon.process.returncode for daemon in daemons] == [None, None, None]
