"""The ACL users that systemd/redis/users.acl gives each role, on a real server."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.local.supervisor.ports import free_port
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.queue.rq_registration import RqRegistration
from msgctl.storage.redis.connections import connect, ping_new_connection
from msgctl.storage.redis.durability import check_durability
from tests.support.gateway_clients import Client
from tests.support.paths import ROOT
from tests.support.valkey_server import message, server
from tools.support.daemons import PATIENCE, Daemon, environment, until

USERS = ROOT / "systemd" / "redis" / "users.acl"
ROLES = ["worker", "subscriber", "gateway", "operator"]


def as_role(settings: Settings, port: int, role: str, **sections: dict[str, Any]) -> Settings:
    """Settings of one role at the guarded server, with changes to other sections."""
    login = {
        "host": "127.0.0.1",
        "port": port,
        "database": 0,
        "username": f"msgctl-{role}",
        "password": SecretStr(f"CHANGE-ME-{role}"),
    }
    changes = {"redis": login, **sections}
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=change) for name, change in changes.items()}
    )


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[int]:
    """The port of a server with the users of the example, and one who may look at everything."""
    users = folder / "users.acl"
    kept = [line for line in USERS.read_text("utf-8").splitlines() if line.startswith("user ")]
    users.write_text("\n".join([*kept, "user auditor on nopass ~* &* +@all"]) + "\n", "utf-8")
    port = free_port()
    configuration = f"port {port}\nappendonly yes\nmaxmemory-policy noeviction\naclfile {users}"
    async with server(folder / "valkey", configuration):
        await until(lambda: _listens(port), "the server")
        yield port


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_do_its_work_and_administer_nothing(
    tmp_path: Path, settings: Settings, role: str
) -> None:
    """Each user enqueues, claims, registers and checks Redis's safety; none can flush, configure or shut it."""
    async with guarded(tmp_path) as port:
        own = as_role(settings, port, role)
        async with connect(own) as client:
            await check_durability(client, own)
            await Queue(client, own).enqueue(message(1), digest=message(1).digest())
            assert len(await LeaseClient(client, own, "w1").claim(1)) == 1
            registration = RqRegistration(own, "w1")
            await registration.register()
            await registration.deregister()
            for words in (
                ["FLUSHALL"],
                ["CONFIG", "SET", "appendonly", "no"],
                ["SHUTDOWN"],
                ["KEYS", "*"],
                ["GET", "other"],
                ["ACL", "LIST"],
                ["SUBSCRIBE", "others"],
            ):
                with pytest.raises(RedisUnavailable, match=r"users\.acl"):
                    await client.execute_command(*words)


async def test_nobody_comes_in_without_a_login(tmp_path: Path, settings: Settings) -> None:
    """The default user is off, and the error says that a login is wanted, not that Redis is away."""
    async with guarded(tmp_path) as port:
        for wrong in ({"username": ""}, {"password": SecretStr("wrong")}):
            own = as_role(settings, port, "worker")
            stranger = own.model_copy(update={"redis": own.redis.model_copy(update=wrong)})
            with pytest.raises(RedisUnavailable, match="wants a login"):
                await ping_new_connection(stranger)


async def msgctl(settings: Settings, *arguments: str) -> str:
    """What a command prints, as the operator."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", *arguments),
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, (arguments, out.decode(), error.decode())
    return out.decode()


async def test_a_pipeline_of_the_four_roles_misses_no_right(tmp_path: Path, settings: Settings) -> None:
    """A message goes the whole way with each daemon as its own user; Redis has refused nobody anything."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ana", name="Ana's", webhook_path="chat")
    async with guarded(tmp_path) as port, aiohttp.ClientSession() as http:
        ports = {role: free_port() for role in ROLES}
        roles = {role: as_role(settings, port, role, metrics={"port": ports[role]}) for role in ROLES}
        operator = roles["operator"]
        async with (
            Daemon("worker", roles["worker"]),
            Daemon("subscriber", roles["subscriber"]),
            Daemon("gateway", roles["gateway"]) as gateway,
            Redis(port=port, username="msgctl-listener", password="CHANGE-ME-listener") as listener,
            listener.pubsub() as ear,
        ):
            await ear.psubscribe("pubsub:response:*")
            client = Client(gateway.status.removeprefix("listening at "), settings, "ana", http)
            async with client.socket() as chat:
                socket_id = (await chat.hear("connected"))["socketId"]
                body = {"agentId": agent.id, "message": "Olá", "channelMetadata": {"websocketId": socket_id}}
                sent = await client.post({**body, "messageId": "m-1"})
                assert sent.status == 202
                assert (await chat.hear("message"))["messageId"] == "m-1"
            async with asyncio.timeout(PATIENCE):
                async for heard in ear.listen():
                    if heard["type"] == "pmessage":
                        assert json.loads(heard["data"])["messageId"] == "m-1"
                        break
            for words in (["GET", "rq:job:m-1"], ["PUBLISH", "pubsub:response:web", "{}"]):
                with pytest.raises(NoPermissionError):
                    await listener.execute_command(*words)  # type: ignore[no-untyped-call]
            for role in ROLES[:3]:
                async with http.get(f"http://127.0.0.1:{ports[role]}/metrics") as answer:
                    assert answer.status == 200
            for command in ("verify", "worker list", "queue pause --priority 3"):
                await msgctl(operator, *command.split())
        async with Redis(port=port, username="auditor") as auditor:
            refused = {
                (entry["username"], entry["object"])
                for entry in await auditor.acl_log()
                if entry["username"] != "msgctl-listener"
            }
    assert not refused
